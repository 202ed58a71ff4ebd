"""Amazon ECS, single tasks: start, see and stop them, and how a service would start them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ecs_gpu_deploy.core.judge.batch_request import Refusal, is_lack
from ecs_gpu_deploy.edges.aws.answers import AwsError, Denied, HalfAnswer, Passing, Unclear, reading, refused
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.errors import DeployError, InvalidInput
from ecs_gpu_deploy.model import Task, short_id

_DESCRIBED = 100
_STOPPERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSettings:
    """How a service starts its tasks: what a batch can take over from it. Raw API values."""

    task_definition: str
    network: Mapping[str, Any] | None
    launch_type: str
    strategy: Sequence[Mapping[str, Any]]
    volumes: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What one RunTask did: the tasks it started, and why others were not."""

    tasks: tuple[Task, ...]
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenTasks:
    """The tasks that DescribeTasks shows, and the ARNs of those that it does not (`failures[]`: MISSING)."""

    tasks: tuple[Task, ...]
    unknown: tuple[str, ...] = ()


class EcsTasks:
    """The tasks of one cluster."""

    def __init__(self, aws: Aws, cluster: str) -> None:
        self._aws, self._cluster = aws, cluster

    def fetch_launch_settings(self, service: str) -> LaunchSettings | None:
        """Return how *service* starts its tasks; None where there is no active service of that name."""
        try:
            params = {"cluster": self._cluster, "services": [service]}
            return self._aws.read("ecs", "describe_services", params, _launch_settings)
        except AwsError as error:
            if error.code == "ClusterNotFoundException":
                return None
            raise refused(error, f"describe the service {service!r}") from error

    def check_cluster(self) -> None:
        """Raise InvalidInput where the cluster does not exist; what AWS does not show is left to RunTask."""
        try:
            self._aws.once("ecs", "list_tasks", {"cluster": self._cluster, "maxResults": 1})
        except AwsError as error:
            if error.code in {"ClusterNotFoundException", "InvalidParameterException"}:
                raise self._refused(error) from error

    def run(self, request: Mapping[str, Any], *, count: int, token: str) -> Started:
        """Start up to *count* (at most 10) tasks. A lack of capacity is no error, however AWS says it.

        The client token makes a repeated call harmless. InvalidInput where AWS finds the request wrong,
        Unclear where it may have been carried out.
        """
        params = {**request, "cluster": self._cluster, "count": count, "clientToken": token}
        try:
            return _started(self._aws.change("ecs", "run_task", params, repeatable=True, whole=_started))
        except Unclear:
            raise
        except AwsError as error:
            if is_lack(error.text) and not isinstance(error, Denied):
                return Started(tasks=(), refusals=(Refusal(reason=error.text),))
            raise self._refused(error) from error

    def _refused(self, error: AwsError) -> DeployError:
        match error.code:
            case "ClusterNotFoundException":
                return InvalidInput(
                    f"There is no cluster {self._cluster!r} in {self._aws.region}.",
                    hint="Check cluster, region and the account of the credentials.",
                )
            case "ConflictException":
                return InvalidInput(
                    f"This client token started another batch before: {error.text}",
                    hint="Give another client-token.",
                )
            case "InvalidParameterException" | "ClientException" if not isinstance(error, Passing):
                return InvalidInput(f"AWS refuses to run the tasks: {error.text}")
            case _:
                return refused(error, "run the tasks")

    def observe(self, arns: Sequence[str]) -> tuple[Task, ...]:
        """Return the tasks as they are now, those that AWS knows; raises AwsError."""
        return self.look_at(arns).tasks

    def look_at(self, arns: Sequence[str]) -> SeenTasks:
        """Return the tasks as they are now, and those that AWS does not know; raises AwsError.

        A call every hundred.
        """
        tasks: list[Task] = []
        for begin in range(0, len(arns), _DESCRIBED):
            batch = list(arns[begin : begin + _DESCRIBED])
            answer = self._aws.once("ecs", "describe_tasks", {"cluster": self._cluster, "tasks": batch})
            with reading("ecs.DescribeTasks"):
                tasks += [Task.from_api(item) for item in answer.get("tasks") or ()]
                told = {task.id for task in tasks}
                told |= {short_id(str(each.get("arn", ""))) for each in answer.get("failures") or ()}
                if any(short_id(arn) not in told for arn in batch):
                    raise HalfAnswer("DescribeTasks answered without a task", request="ecs.DescribeTasks")
        known = {task.id for task in tasks}
        return SeenTasks(tasks=tuple(tasks), unknown=tuple(arn for arn in arns if short_id(arn) not in known))

    def started_by(self, mark: str) -> tuple[str, ...]:
        """Return the ARNs of the tasks with this startedBy that are not to stop; raises AwsError."""
        params = {"cluster": self._cluster, "startedBy": mark}
        return tuple(self._aws.pages("ecs", "list_tasks", params, "taskArns"))

    def stop(self, arns: Iterable[str], *, reason: str) -> tuple[str, ...]:
        """Stop the tasks, several at a time; return the ARNs of those that could not be stopped."""
        names = list(arns)

        def stopped(arn: str) -> bool:
            try:
                params = {"cluster": self._cluster, "task": arn, "reason": reason}
                self._aws.change("ecs", "stop_task", params, repeatable=True)
            except AwsError:
                return False
            return True

        if len(names) < _STOPPERS:
            return tuple(arn for arn in names if not stopped(arn))
        with ThreadPoolExecutor(_STOPPERS) as pool:
            return tuple(arn for arn, done in zip(names, pool.map(stopped, names), strict=True) if not done)


def _started(answer: Mapping[str, Any]) -> Started:
    """Read RunTask; HalfAnswer for tasks without an ARN, and where neither tasks nor failures are told."""
    tasks = tuple(Task.from_api(item) for item in answer.get("tasks") or ())
    refusals = tuple(Refusal.from_api(item) for item in answer.get("failures") or ())
    if not all(task.arn for task in tasks) or not (tasks or refusals):
        raise HalfAnswer("the tasks are not told", request="ecs.RunTask")
    return Started(tasks=tasks, refusals=refusals)


def _launch_settings(answer: Mapping[str, Any]) -> LaunchSettings | None:
    """Read DescribeServices of one service; None where it is not there, or not active; raises HalfAnswer."""
    for service in answer.get("services") or ():
        if not service.get("status") or not service.get("taskDefinition"):
            raise HalfAnswer("the service is not shown whole", request="ecs.DescribeServices")
        if service["status"] != "ACTIVE":
            return None
        return LaunchSettings(
            task_definition=service["taskDefinition"],
            network=service.get("networkConfiguration"),
            launch_type=service.get("launchType", ""),
            strategy=tuple(service.get("capacityProviderStrategy") or ()),
            volumes=tuple(
                volume
                for deployment in service.get("deployments") or ()
                if deployment.get("status") == "PRIMARY"
                for volume in deployment.get("volumeConfigurations") or ()
            ),
        )
    if not answer.get("failures"):
        raise HalfAnswer("DescribeServices answered without the service", request="ecs.DescribeServices")
    return None
