"""Start a deployment: wait for others or refuse, send UpdateService, find the deployment it made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.service_fit import misfit
from ecs_gpu_deploy.core.definition.service_settings import ServiceSettings
from ecs_gpu_deploy.core.definition.service_update import ServiceUpdate
from ecs_gpu_deploy.core.judge.deployment_settings import with_settings
from ecs_gpu_deploy.core.judge.lifecycle import Stage, why_never
from ecs_gpu_deploy.core.judge.pace import CANCEL_LOOK_SECONDS, seconds_to_look_again
from ecs_gpu_deploy.core.judge.update_sent import CANCELLED_PAUSES, LOOK_PAUSES, deployment_made
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.past.ongoing import Ongoing, newest_ongoing, ongoing_classic, ongoing_of
from ecs_gpu_deploy.core.text import span
from ecs_gpu_deploy.edges.aws.alarms import fetch_alarm_states
from ecs_gpu_deploy.edges.aws.answers import AwsError, Closed, Passing, Unclear, refused
from ecs_gpu_deploy.edges.aws.codedeploy import DeploymentGroup
from ecs_gpu_deploy.edges.aws.ecs import Ecs
from ecs_gpu_deploy.edges.aws.revisions import fetch_service_revisions
from ecs_gpu_deploy.edges.machine.signals import (
    Cancelled,
    CutShort,
    at_most,
    heed_held,
    heeded_signals,
    is_cancelled,
)
from ecs_gpu_deploy.errors import DeployError, InvalidInput, Refused
from ecs_gpu_deploy.facts import ServiceSeen
from ecs_gpu_deploy.inputs.requests import DeployRequest, RollbackRequest
from ecs_gpu_deploy.model import Deployment, RolloutState, Service, ServiceDeployment, short_id
from ecs_gpu_deploy.result import Finding, Outcome, Severity
from ecs_gpu_deploy.steps.check_providers import check_providers
from ecs_gpu_deploy.steps.render_revision import Rendering
from ecs_gpu_deploy.steps.start_codedeploy import ongoing_codedeploy, told_ongoing

_UPDATE_ATTEMPTS = 3


@contextmanager
def named_where_refused(context: Context, name: str, service: Service | None = None) -> Iterator[None]:
    """Record that the run ended over the service *name*, one of several, where what is done here is refused.

    *service* is the service as it was seen; None where it was not.
    """
    try:
        yield
    except DeployError:
        context.record(ServiceSeen(name=name, previous=service.task_definition if service else ""))
        raise


def wait_for_others(
    context: Context,
    service: Service,
    request: DeployRequest | RollbackRequest,
    group: DeploymentGroup | None = None,
) -> Service:
    """Return the service once no other deployment of it is ongoing; refuse, wait or go on as told.

    *group* is the deployment group of a service that CodeDeploy deploys, which runs one at a time.

    While a rollback runs there is no COMPLETED deployment, and one that is sent then can neither roll back
    nor launch tasks (docs/aws-facts.md#rollback-candidate).
    """
    clock, wait = context.clock, request.rollout.wait
    began = clock.now()
    announced = False
    while ongoing := _ongoing(context, service, group, is_told=not announced):
        what = f"Another deployment of the service {service.name!r} is ongoing ({ongoing.told(clock.now())})"
        if request.ongoing == "supersede" and group is None:
            context.record(
                Finding(
                    code="supersedes",
                    severity=Severity.WARNING,
                    message=f"{what}; ours takes its place.",
                    hint="If ours fails, ECS may have no completed deployment to roll back to.",
                )
            )
            return service
        if request.ongoing == "supersede":
            raise Refused(
                f"{what}, and CodeDeploy runs one deployment of a group at a time, so ours was not started.",
                hint=f"Set ongoing to wait, or stop it. {ongoing.hint}".strip(),
            )
        if request.ongoing == "refuse":
            raise Refused(
                f"{what}, so ours was not started.",
                hint="Set ongoing to wait (or supersede), and give the workflow a concurrency group. "
                f"{ongoing.hint}".strip(),
            )
        if clock.now() - began >= wait.timeout:
            now = _ongoing(context, service, group, is_told=True) or ongoing
            raise Refused(
                f"{what} still after {span(wait.timeout)}, so ours was not started.",
                hint=now.hint,
            )
        if not announced:
            context.reporter.say(f"{what}; waiting for its end")
            announced = True
        clock.sleep(seconds_to_look_again(wait.poll_interval, now=clock.now(), until=began + wait.timeout))
        service = context.ecs.fetch_service(service.name)
    return service


def under_way(
    context: Context, service: Service, rendering: Rendering, group: DeploymentGroup | None = None
) -> str:
    """Return the ARN of the ongoing deployment that brings the *rendering* already, "" where none does.

    A run that was killed after UpdateService left it: run again, it is watched. Its digests tell whether the
    image's tag has been moved since. Of a service that CodeDeploy deploys (*group*) it is the id of its
    deployment.
    """
    if group is not None:
        found = ongoing_codedeploy(context, group) if rendering.existing_arn else None
        return found.id if found is not None and found.task_definition == rendering.existing_arn else ""
    primary = service.primary
    if primary is None or primary.rollout_state != RolloutState.IN_PROGRESS:
        return ""
    if not rendering.existing_arn or primary.task_definition != rendering.existing_arn:
        return ""
    with suppress(AwsError, DeployError):
        ongoing = [b for b in context.ecs.fetch_deployments(service.name) if not b.status.is_terminal]
        targets = {
            brief.target_revision_arn: brief.arn for brief in ongoing if not brief.status.is_going_back
        }
        for revision in fetch_service_revisions(context.aws, targets):
            known = {n: d for n, d in rendering.digests.items() if n in revision.digests}
            same = all(revision.digests[name] in digests for name, digests in known.items())
            if revision.task_definition == rendering.existing_arn and same:
                return targets[revision.arn]
    return ""


def _ongoing(
    context: Context, service: Service, group: DeploymentGroup | None, *, is_told: bool
) -> Ongoing | None:
    """Return the deployment that is ongoing, with the hook that it waits at where *is_told*: one call more.

    Where the list is denied, unknown to the endpoint or does not answer, the classic deployments tell.
    """
    ecs = context.ecs
    if group is not None:
        found = ongoing_codedeploy(context, group)
        return told_ongoing(found) if found is not None else None
    try:
        if brief := newest_ongoing(ecs.fetch_deployments(service.name)):
            return ongoing_of(_whole(ecs, brief) if is_told else brief)
    except AwsError as error:
        if not isinstance(error, Closed | Passing):
            raise refused(error, "list the service deployments") from error
        return ongoing_classic(ecs.cluster, service)
    return None


def _whole(ecs: Ecs, brief: ServiceDeployment) -> ServiceDeployment:
    """Return the deployment with stage and hooks, which a *brief* has not; that itself where AWS hides it."""
    with suppress(AwsError, DeployError):
        seen = ecs.observe_deployment(brief.arn)
        return brief if seen.status.is_terminal else seen
    return brief


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What came of an UpdateService: the deployment it made, None where it made none.

    `is_known` is False where nobody can tell, and `why` then says it; `cancelled`: the job was meanwhile.
    """

    deployment: Deployment | None = None
    is_known: bool = True
    cancelled: bool = False
    why: str = ""


def start_deployment(
    context: Context,
    service: Service,
    wanted: ServiceUpdate,
) -> Update:
    """Send UpdateService, with signals held, and return what came of it.

    Where the answer was lost the service tells whether it was carried out: a second one would supersede the
    first, so it is sent again only where nothing shows. Cancelled comes out only where it was not sent.
    """
    heed_held()
    baseline = {d.id for d in service.deployments}
    lost: Unclear
    for _ in range(_UPDATE_ATTEMPTS):
        try:
            primary = context.ecs.update_service(service, wanted)
        except Unclear as error:
            lost = error
            context.reporter.say(f"AWS did not say whether it updates the service ({error.text}); looking")
            update = _look_for(context, service, wanted.task_definition, why=error.text)
            if update.deployment is not None or not update.is_known:
                return update
            continue
        made = primary if primary is not None and primary.id not in baseline else None
        return Update(deployment=made, cancelled=is_cancelled())
    raise Refused(f"AWS did not carry out UpdateService ({lost.text}).", hint="Run the job again.")


def _look_for(context: Context, service: Service, arn: str, *, why: str) -> Update:
    """Look for the deployment that an UpdateService may have made, until that is known or time is up."""
    seen: Service | None = None
    try:
        for pause in LOOK_PAUSES:
            with heeded_signals():
                context.clock.sleep(pause)
                seen = _seen(context, service)
            made = deployment_made(service, seen, arn) if seen else None
            if made is not None:
                return Update(deployment=made)
            if seen is None and context.aws.is_late:
                break
    except Cancelled:
        return _look_in_haste(context, service, arn, why=why)
    return Update(is_known=seen is not None, why=why)


def _look_in_haste(context: Context, service: Service, arn: str, *, why: str) -> Update:
    """Look a few times more: a cancelled job has seconds, and may have to roll back."""
    with suppress(CutShort), at_most(CANCEL_LOOK_SECONDS):
        for pause in CANCELLED_PAUSES:
            context.clock.sleep(pause)
            seen = _seen(context, service)
            made = deployment_made(service, seen, arn) if seen else None
            if made is not None:
                return Update(deployment=made, cancelled=True)
    return Update(is_known=False, cancelled=True, why=why)


def _seen(context: Context, service: Service) -> Service | None:
    with suppress(AwsError, DeployError):
        return context.ecs.observe_service(service.name)
    return None


def nothing_started(service: Service, arn: str) -> Verdict:
    """Return the verdict where AWS started no deployment: nothing was to do, or nothing was done."""
    primary = service.primary
    if (
        primary is not None
        and primary.task_definition == arn
        and primary.rollout_state
        in {
            RolloutState.COMPLETED,
            None,
        }
    ):
        return Verdict(
            outcome=Outcome.SUCCEEDED,
            reason=f"The service runs {short_id(arn)} already, and force-new-deployment is off.",
        )
    return Verdict(
        outcome=Outcome.FAILED,
        reason="AWS started no deployment: the revision is the service's own, whose last deployment did not "
        "complete, and force-new-deployment is off.",
    )


def check_stage(service: Service, stage: Stage | None) -> None:
    """Raise InvalidInput for a lifecycle *stage* to wait for that no deployment of the service comes to."""
    if stage is not None and (why := why_never(service, stage)):
        raise InvalidInput(why, hint="Leave wait-until out; stages are of BLUE_GREEN, LINEAR and CANARY.")


def check_fit(definition: Mapping[str, Any], service: Service) -> None:
    """Raise InvalidInput for a raw task definition that the service cannot run, before it is registered."""
    if why := misfit(definition, service):
        raise InvalidInput(why, hint="Change the task definition, or the service; nothing was registered.")


def as_wished(service: Service, request: DeployRequest) -> Service:
    """Return the service with the desired count and the deployment configuration that it is to get."""
    return with_settings(scaled(service, request.desired_count), request.settings)


def check_alarms(context: Context, service: Service, request: DeployRequest) -> None:
    """Raise InvalidInput for alarms to deploy with that are not there; warn of those that watch nothing.

    One that is in ALARM as the deployment begins does not watch it: docs/aws-facts.md#deployment-settings.
    """
    if not service.alarms or not (request.settings.alarms or request.settings.alarm_action):
        return
    try:
        states = fetch_alarm_states(context.aws, service.alarms)
    except AwsError as error:
        message = f"AWS does not show us the alarms: {error.text}"
        hint = "Allow cloudwatch:DescribeAlarms, so that a name that is wrong is seen before the deployment."
        context.record(Finding(code="cannot-see", severity=Severity.WARNING, message=message, hint=hint))
        return
    if missing := [name for name in service.alarms if name not in states]:
        raise InvalidInput(
            f"There is no alarm {missing[0]!r} in {context.aws.region}.",
            hint="Check the names in alarms, region and the account of the credentials.",
        )
    if on := [name for name, state in states.items() if state == "ALARM"]:
        message = (
            f"The alarm {', '.join(on)} is in ALARM already, so AWS does not watch the deployment with it."
        )
        context.record(Finding(code="alarm-on", severity=Severity.WARNING, message=message))


def check_settings(
    context: Context, settings: ServiceSettings, definition: Mapping[str, Any], service: Service
) -> None:
    """Raise InvalidInput for what the deployment cannot set in the service, before anything is registered."""
    settings.check(definition, service)
    check_providers(context, service.cluster_arn, settings.strategy)


def scaled(service: Service, desired_count: int | None) -> Service:
    """Return the service with the desired count that it is to get; None: it stays."""
    if desired_count is None or desired_count == service.desired_count:
        return service
    if service.is_express:
        raise InvalidInput(
            f"The service {service.name!r} is one of Express Mode, which scales by its scalingTarget.",
            hint="Leave desired-count out.",
        )
    if service.scheduling_strategy == "DAEMON":
        raise InvalidInput(
            f"The service {service.name!r} runs one task on each instance (DAEMON) and has no desired count.",
            hint="Leave desired-count out.",
        )
    return service.with_desired_count(desired_count)


def check_deployable(service: Service, *, allow_desired_zero: bool, one_of_several: bool = False) -> None:
    """Raise InvalidInput for a service that no deployment of ours can change, or that runs nothing."""
    if service.deployment_controller not in {"ECS", "CODE_DEPLOY"}:
        raise InvalidInput(
            f"The service {service.name!r} is deployed by {service.deployment_controller}, not by ECS or "
            "CodeDeploy.",
            hint="Only services with the deployment controller ECS or CODE_DEPLOY can be deployed by this "
            "program: of an EXTERNAL one, only its own controller knows what its task sets are to run.",
        )
    if one_of_several and service.deployment_controller == "CODE_DEPLOY":
        raise InvalidInput(
            f"The service {service.name!r} is deployed by CodeDeploy, which is not done for several at once.",
            hint="Deploy it in a step of its own.",
        )
    if service.status == "DRAINING":
        raise InvalidInput(f"The service {service.name!r} is being deleted (DRAINING).")
    if service.desired_count == 0 and not allow_desired_zero:
        raise InvalidInput(
            f"The desired count of the service {service.name!r} is 0: no task would run, so nothing would be "
            "verified.",
            hint="Scale the service up, or set allow-desired-zero to true.",
        )
