"""Amazon ECS: what the commands see (fetch_…) and what they change (register_…, update_…, stop_…).

Task definitions travel as raw JSON both ways, so that a field which this botocore does not know yet is
neither lost nor refused (docs/aws-facts.md#task-definitions-as-raw-json).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

from botocore.model import OperationModel

from ecs_gpu_deploy.core.capacity.container_instance import ContainerInstance
from ecs_gpu_deploy.core.definition.references import impossible_text
from ecs_gpu_deploy.core.definition.service_update import ServiceUpdate
from ecs_gpu_deploy.edges.aws.answer_shape import check_answer, oddity, without_nulls
from ecs_gpu_deploy.edges.aws.answers import (
    AwsError,
    Denied,
    HalfAnswer,
    Missing,
    OddAnswer,
    Passing,
    Rejected,
    Unclear,
    reading,
    refused,
)
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.errors import DeployError, InvalidInput, TaggingDenied
from ecs_gpu_deploy.model import Deployment, Service, ServiceDeployment, Task, cluster_of, short_id, text_in

_BATCH = 100
_TAGGING = "ecs:TagResource"
MOST_TASKS = 500
"""How many tasks of a cluster are looked at."""
_STILL_DRAINING = (
    "Old tasks have not left yet: look at their deregistration delay and stopTimeout, and at scale-in "
    "protection (GetTaskProtection), then run it again."
)
MOST_INSTANCES = 5000
_FAULTY = frozenset({"ClientException", "InvalidParameterException"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTaskDefinition:
    """A task definition as AWS sent it: `body` is the member taskDefinition, `tags` stand beside it."""

    body: Mapping[str, Any]
    tags: tuple[Mapping[str, str], ...] = ()

    @property
    def arn(self) -> str:
        """Return the ARN with its revision."""
        return str(self.body.get("taskDefinitionArn", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTasks:
    """The tasks of a service; `stopped_arns` are all that AWS lists as stopped: those of about the last hour.

    It is empty where they were not asked for.
    """

    tasks: tuple[Task, ...]
    stopped_arns: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Raw:
    """A task definition on the wire: what is to be sent, and what came."""

    request: Mapping[str, Any] | None = None
    answer: bytes = b""


def check_region(name: str, what: str, region: str) -> None:
    """Raise InvalidInput where *name* is an ARN of another Region than that of the run."""
    of = name.split(":")[3] if name.startswith("arn:") else region
    if of != region:
        raise InvalidInput(
            f"The {what} {name} is of the Region {of}, and this run is in {region}.",
            hint=f"Check {what} and region.",
        )


def _has_the_name(arn: str, other: str) -> bool:
    """Say whether two ARNs of services name the same service of different accounts or clusters."""
    return arn != other and short_id(arn) == short_id(other)


def _it_has(services: tuple[str, ...] | None) -> str:
    """Return what exists instead, for the error text; silence where that may not be seen."""
    if services is None:
        return ""
    names = sorted(map(short_id, services))
    if not names:
        return "; it has no services"
    return f"; it has {', '.join(names[:10])}" + (", …" if len(names) > 10 else "")


class Ecs:
    """One cluster of Amazon ECS."""

    def __init__(self, aws: Aws, cluster: str) -> None:
        self._aws = aws
        self.cluster = cluster
        self._raw = _Raw()
        events = aws.client("ecs").meta.events
        events.register("before-parse.ecs.DescribeTaskDefinition", self._keep_raw)
        events.register("before-parse.ecs.RegisterTaskDefinition", self._keep_raw)
        events.register("before-call.ecs.RegisterTaskDefinition", self._send_raw)

    def of(self, service: str) -> Self:
        """Return the cluster of a service: this one, unless its ARN names another."""
        cluster = cluster_of(service)
        if cluster in {"", short_id(self.cluster)}:
            return self
        other = copy.copy(self)
        other.cluster = cluster
        return other

    def _keep_raw(self, operation_model: OperationModel, response_dict: dict[str, Any], **_: Any) -> None:
        """Keep the answer as it came, and hand botocore an empty one.

        Its parser drops members it does not know, and refuses a union that has one (sharingStrategy).
        """
        if response_dict.get("status_code") == 200:
            check_answer(operation_model, response_dict)
            self._raw.answer = response_dict.get("body", b"")
            response_dict["body"] = b'{"taskDefinition": {}}'

    def _send_raw(self, params: dict[str, Any], **_: Any) -> None:
        if self._raw.request is not None:
            params["body"] = json.dumps(self._raw.request).encode()

    # Services

    def fetch_service(self, name: str) -> Service:
        """Return the service; InvalidInput where the cluster or the service does not exist."""
        check_region(name, "service", self._aws.region)
        try:
            params = {"cluster": self.cluster, "services": [name]}
            found = self._aws.read("ecs", "describe_services", params, _described_service)
        except AwsError as error:
            raise self._named(error, f"describe the service {name!r}") from error
        if found is None or found.status == "INACTIVE":
            here = self._others()
            if name.startswith("arn:") and (same := [arn for arn in here or () if _has_the_name(arn, name)]):
                raise InvalidInput(
                    f"There is no service {name}; the one of this name here is {same[0]}.",
                    hint="Check the ARN, and the account of the credentials.",
                )
            raise InvalidInput(
                f"There is no active service {short_id(name)!r} in the cluster {short_id(self.cluster)!r} "
                f"({self._aws.region}){_it_has(here)}.",
                hint="Check service, cluster, region and the account of the credentials.",
            )
        return found

    def observe_service(self, name: str) -> Service | None:
        """Return the service as it is now, None when it is gone; one call, raises AwsError."""
        answer = self._aws.once("ecs", "describe_services", {"cluster": self.cluster, "services": [name]})
        with reading("ecs.DescribeServices"):
            for item in answer.get("services") or ():
                if _needed(item, "serviceName") == short_id(name):
                    return Service.from_api(item)
            if any(failure.get("reason") == "MISSING" for failure in answer.get("failures") or ()):
                return None
        raise HalfAnswer("DescribeServices answered without the service", request="ecs.DescribeServices")

    def _others(self) -> tuple[str, ...] | None:
        """Return the ARNs of the services that exist instead, None where that may not be seen."""
        try:
            answer = self._aws.once("ecs", "list_services", {"cluster": self.cluster, "maxResults": 100})
            with reading("ecs.ListServices"):
                return tuple(answer.get("serviceArns") or ())
        except (AwsError, DeployError):
            return None

    def _named(self, error: AwsError, doing: str) -> DeployError:
        """Return our error for one that names something missing, else the general one."""
        match error.code:
            case "ClusterNotFoundException":
                return InvalidInput(
                    f"There is no cluster {self.cluster!r} in {self._aws.region}.",
                    hint="Check cluster, region and the account of the credentials.",
                )
            case "ServiceNotFoundException" | "ServiceNotActiveException":
                return InvalidInput(
                    f"There is no active service for us to {doing}.",
                    hint="Check service, cluster and region.",
                )
            case "InvalidParameterException" if not isinstance(error, Passing):
                return InvalidInput(
                    f"AWS refuses to {doing}: {error.text}",
                    hint=_STILL_DRAINING if "active deployments exist" in error.text else "",
                )
            case _:
                return refused(error, doing)

    # Service deployments

    def fetch_deployments(
        self, service: str, *, once: bool = False, with_status: bool = True
    ) -> tuple[ServiceDeployment, ...]:
        """Return briefs of the newest service deployments, newest first; raises AwsError.

        *once*: with one call, where somebody asks again anyway. *with_status*: an answer that lacks the
        status of one tells nothing, and is asked for again.
        """
        params = {"cluster": self.cluster, "service": service, "maxResults": 20}
        read = _listed_with_status if with_status else _listed_deployments
        briefs = self._aws.read("ecs", "list_service_deployments", params, read, once=once)
        return tuple(sorted(briefs, key=lambda brief: brief.created_at, reverse=True))

    def observe_deployment(self, arn: str) -> ServiceDeployment:
        """Return the service deployment as it is now; one call, raises AwsError, also Missing."""
        request = "ecs.DescribeServiceDeployments"
        try:
            answer = self._aws.once("ecs", "describe_service_deployments", {"serviceDeploymentArns": [arn]})
        except Rejected as error:
            if error.code != "InvalidParameterException":
                raise
            raise Missing(error.text, code=error.code, request=request) from error
        with reading(request):
            for item in answer.get("serviceDeployments") or ():
                found = ServiceDeployment.from_api(item)
                if found.arn in {arn, ""}:
                    return found
            if any(failure.get("reason") == "MISSING" for failure in answer.get("failures") or ()):
                raise Missing("AWS does not know the service deployment", request=request)
        raise HalfAnswer("DescribeServiceDeployments answered without the deployment", request=request)

    def stop_deployment(self, arn: str) -> None:
        """Ask AWS to stop the service deployment and roll back; raises AwsError.

        Where the answer was lost the deployment tells whether it goes back, and else it is asked once more.
        """
        params = {"serviceDeploymentArn": arn, "stopType": "ROLLBACK"}
        try:
            self._aws.change("ecs", "stop_service_deployment", params)
        except Unclear:
            if self._goes_back(arn):
                return
            try:
                self._aws.change("ecs", "stop_service_deployment", params)
            except Rejected:
                if not self._goes_back(arn):
                    raise

    def _goes_back(self, arn: str) -> bool:
        with suppress(AwsError):
            return self.observe_deployment(arn).status.is_going_back
        return False

    # Task definitions

    def fetch_task_definition(self, name: str) -> RawTaskDefinition:
        """Return the task definition (family, family:revision or ARN) with its tags."""
        check_region(name, "task-definition", self._aws.region)
        try:
            params = {"taskDefinition": name, "include": ["TAGS"]}
            return self._aws.read("ecs", "describe_task_definition", params, self._described)
        except AwsError as error:
            if error.code in _FAULTY and not isinstance(error, Passing):
                raise InvalidInput(
                    f"There is no task definition {name!r} in {self._aws.region}.",
                    hint="Give task-definition as a file that exists, a family, family:revision or an ARN.",
                ) from error
            raise refused(error, f"describe the task definition {name!r}") from error

    def checked_task_definition(self, definition: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a raw task definition without its null members, as AWS's own tools send it.

        InvalidInput for a member of another type than AWS documents, and for text that no request can hold;
        what AWS's model lacks stays.
        """
        if wrong := impossible_text(definition):
            raise InvalidInput(f"The task definition cannot be registered: {wrong}")
        model = self._aws.client("ecs").meta.service_model.operation_model("RegisterTaskDefinition")
        if odd := oddity(model.input_shape, definition):
            raise InvalidInput(
                f"The task definition {str(definition.get('family'))[:100]!r} cannot be registered: {odd}.",
                hint="Correct the input that holds it, or the file of task-definition.",
            )
        checked: Mapping[str, Any] = without_nulls(model.input_shape, definition)
        return checked

    def register_task_definition(self, definition: Mapping[str, Any]) -> str:
        """Register the revision from raw JSON and return its ARN; Unclear where it may be registered."""
        self._raw.request = definition
        try:
            self._aws.change(
                "ecs",
                "register_task_definition",
                {"family": definition["family"], "containerDefinitions": []},
            )
            with reading("ecs.RegisterTaskDefinition"):
                return _needed(json.loads(self._raw.answer)["taskDefinition"], "taskDefinitionArn")
        except Unclear:
            raise
        except OddAnswer as error:
            raise Unclear(error.text, code=error.code, request=error.request) from error
        except AwsError as error:
            if error.code in _FAULTY and not isinstance(error, Passing):
                raise InvalidInput(
                    f"AWS refuses the task definition {definition['family']!r}: {error.text}",
                    hint="Correct the file, or the input that changed it.",
                ) from error
            told = refused(error, "register the task definition")
            if isinstance(error, Denied) and _TAGGING in error.text:
                raise TaggingDenied(told.message, hint=told.hint) from error
            raise told from error
        finally:
            self._raw.request = None

    def _described(self, _answer: object) -> RawTaskDefinition:
        """Read the last answer about a task definition, unparsed by botocore."""
        answer = json.loads(self._raw.answer)
        body = answer["taskDefinition"]
        for member in ("taskDefinitionArn", "family"):
            _needed(body, member)
        if not body["containerDefinitions"]:
            raise HalfAnswer("the task definition has no containers", request="ecs.DescribeTaskDefinition")
        for container in body["containerDefinitions"]:
            for member in ("name", "image"):
                _needed(container, member)
        return RawTaskDefinition(body=body, tags=tuple(answer.get("tags") or ()))

    # The rollout

    def update_service(
        self,
        service: Service,
        update: ServiceUpdate,
    ) -> Deployment | None:
        """Start the deployment and return what is PRIMARY right after; Unclear where we can't know.

        A service of Express Mode has an operation of its own, which takes the revision alone.
        """
        task_definition = update.task_definition
        if service.is_express:
            return self._update_express(service, task_definition)
        doing = f"update the service {service.name!r}"
        try:
            answer = self._aws.change("ecs", "update_service", update.to_api(cluster=self.cluster))
            with reading("ecs.UpdateService"):
                updated = Service.from_api(answer["service"])
            primary = updated.primary
            shown = short_id(primary.task_definition) if primary is not None and primary.id else ""
            if shown != short_id(task_definition):
                raise HalfAnswer("the answer does not show the deployment", request="ecs.UpdateService")
            return primary  # noqa: TRY300
        except Unclear:
            raise
        except OddAnswer as error:
            raise Unclear(error.text, code=error.code, request=error.request) from error
        except AwsError as error:
            raise self._named(error, doing) from error

    def _update_express(self, service: Service, task_definition: str) -> Deployment:
        """Start the deployment of a service of Express Mode; the revision that it makes has its number.

        Source: API Reference, UpdateExpressGatewayService; docs/aws-facts.md#deployment-identity.
        """
        request = "ecs.UpdateExpressGatewayService"
        params = {"serviceArn": service.arn, "taskDefinitionArn": task_definition}
        try:
            answer = self._aws.change("ecs", "update_express_gateway_service", params)
            with reading(request):
                made = _needed(answer["service"]["targetConfiguration"], "serviceRevisionArn")
        except Unclear:
            raise
        except OddAnswer as error:
            raise Unclear(error.text, code=error.code, request=error.request) from error
        except AwsError as error:
            raise self._named(error, f"update the Express service {service.name!r}") from error
        return Deployment(id=f"ecs-svc/{short_id(made)}", status="PRIMARY", task_definition=task_definition)

    # Tasks

    def observe_tasks(
        self, service: str, *, known_stopped: Iterable[str] = (), with_stopped: bool = True
    ) -> ServiceTasks:
        """Return the service's tasks, running and lately stopped, without those in *known_stopped* (ARNs)."""
        running = list(self._task_arns(service, "RUNNING"))
        stopped = frozenset(self._task_arns(service, "STOPPED") if with_stopped else ())
        return ServiceTasks(
            tasks=self._tasks([*running, *sorted(stopped - set(known_stopped))]), stopped_arns=stopped
        )

    def _tasks(self, arns: Iterable[str]) -> tuple[Task, ...]:
        tasks: list[Task] = []
        iterator = iter(dict.fromkeys(arns))
        while batch := list(islice(iterator, _BATCH)):
            answer = self._aws.once("ecs", "describe_tasks", {"cluster": self.cluster, "tasks": batch})
            with reading("ecs.DescribeTasks"):
                tasks += [Task.from_api(item) for item in answer.get("tasks") or ()]
        return tuple(tasks)

    def observe_cluster_tasks(self) -> tuple[Task, ...]:
        """Return the running tasks of the cluster, up to `MOST_TASKS` of them; raises AwsError."""
        params = {"cluster": self.cluster, "desiredStatus": "RUNNING"}
        arns = list(islice(self._aws.pages("ecs", "list_tasks", params, "taskArns", once=True), MOST_TASKS))
        return self._tasks(arns)

    def observe_stopped_tasks(self, service: str) -> tuple[Task, ...]:
        """Return the service's tasks that lately stopped or are to, up to `MOST_TASKS`; raises AwsError."""
        return self._tasks(islice(self._task_arns(service, "STOPPED"), MOST_TASKS))

    def _task_arns(self, service: str, status: str) -> Iterator[str]:
        params = {"cluster": self.cluster, "serviceName": short_id(service), "desiredStatus": status}
        return self._aws.pages("ecs", "list_tasks", params, "taskArns", once=True)

    # Container instances

    def observe_instances(self, arns: Sequence[str] = ()) -> tuple[ContainerInstance, ...]:
        """Return the container instances of *arns*, or up to 5,000 (a cluster's quota); raises AwsError."""
        params, member = {"cluster": self.cluster}, "containerInstanceArns"
        listed = self._aws.pages("ecs", "list_container_instances", params, member, once=True)
        wanted = list(arns) or list(islice(listed, MOST_INSTANCES))
        found: list[ContainerInstance] = []
        for begin in range(0, len(wanted), _BATCH):
            answer = self._aws.once(
                "ecs",
                "describe_container_instances",
                {
                    "cluster": self.cluster,
                    "containerInstances": wanted[begin : begin + _BATCH],
                    "include": ["CONTAINER_INSTANCE_HEALTH"],
                },
            )
            with reading("ecs.DescribeContainerInstances"):
                found += [ContainerInstance.from_api(item) for item in answer.get("containerInstances") or ()]
        return tuple(found)


def _needed(api: Mapping[str, Any], member: str) -> str:
    """Return the text *member*, which an answer never lacks."""
    if not (value := text_in(api, member)):
        raise HalfAnswer(f"the answer has no {member}")
    return value


def _described_service(answer: Mapping[str, Any]) -> Service | None:
    """Read DescribeServices of one service, None where AWS says that it is not there; raises HalfAnswer."""
    for item in answer.get("services") or ():
        found = Service.from_api(item)
        of_ecs = found.deployment_controller == "ECS"  # another one's service has task sets instead
        for member in ("serviceArn", "serviceName", "status", *(("taskDefinition",) if of_ecs else ())):
            _needed(item, member)
        ids = [deployment.id for deployment in found.deployments]
        shown = item.get("deployments") is not None or not of_ecs
        if item.get("desiredCount") is None or not shown or "" in ids:
            raise HalfAnswer("the service is not shown whole", request="ecs.DescribeServices")
        return found
    if any(failure.get("reason") == "MISSING" for failure in answer.get("failures") or ()):
        return None
    raise HalfAnswer("DescribeServices answered without the service", request="ecs.DescribeServices")


def _listed_deployments(answer: Mapping[str, Any]) -> list[ServiceDeployment]:
    """Read ListServiceDeployments; raises HalfAnswer for one without the list, or without an ARN."""
    briefs = [ServiceDeployment.from_api(item) for item in answer["serviceDeployments"]]
    if not all(brief.arn for brief in briefs):
        raise HalfAnswer("a deployment is not shown whole", request="ecs.ListServiceDeployments")
    return briefs


def _listed_with_status(answer: Mapping[str, Any]) -> list[ServiceDeployment]:
    briefs = _listed_deployments(answer)
    if not all(brief.status for brief in briefs):
        raise HalfAnswer("a deployment is shown without its status", request="ecs.ListServiceDeployments")
    return briefs
