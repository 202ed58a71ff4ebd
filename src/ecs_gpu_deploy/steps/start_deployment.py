"""Start a deployment: wait for others or refuse, send UpdateService, find the deployment it made."""

from __future__ import annotations

from contextlib import suppress

from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.past.ongoing import Ongoing, ongoing_classic, ongoing_of
from ecs_gpu_deploy.core.text import span
from ecs_gpu_deploy.edges.aws.answers import AwsError, Closed, Passing, Unclear, refused
from ecs_gpu_deploy.edges.aws.ecs import Ecs
from ecs_gpu_deploy.edges.machine.signals import CutShort, at_most
from ecs_gpu_deploy.errors import DeployError, InvalidInput, Refused
from ecs_gpu_deploy.inputs.requests import DeployRequest
from ecs_gpu_deploy.model import Deployment, RolloutState, Service, short_id
from ecs_gpu_deploy.result import Finding, Outcome, Severity
from ecs_gpu_deploy.steps.context import Context

_UPDATE_ATTEMPTS = 3
_CANCEL_SECONDS = 2.0


def wait_for_others(context: Context, service: Service, request: DeployRequest) -> Service:
    """Return the service once no other deployment of it is ongoing; refuse, wait or go on as told.

    While a rollback runs there is no COMPLETED deployment, and one that is sent then can neither roll back
    nor launch tasks (docs/aws-facts.md#rollback-candidate).
    """
    clock, wait = context.clock, request.rollout.wait
    began = clock.now()
    announced = False
    while ongoing := _ongoing(context.ecs, service):
        what = f"Another deployment of the service {service.name!r} is ongoing ({ongoing.told(clock.now())})"
        if request.ongoing == "supersede":
            context.record(
                Finding(
                    code="supersedes",
                    severity=Severity.WARNING,
                    message=f"{what}; ours takes its place.",
                    hint="If ours fails, ECS may have no completed deployment to roll back to.",
                )
            )
            return service
        if request.ongoing == "refuse":
            raise Refused(
                f"{what}, so ours was not started.",
                hint="Set ongoing to wait (or supersede), and give the workflow a concurrency group. "
                f"{ongoing.hint}".strip(),
            )
        if clock.now() - began >= wait.timeout:
            raise Refused(
                f"{what} still after {span(wait.timeout)}, so ours was not started.",
                hint=ongoing.hint,
            )
        if not announced:
            context.reporter.say(f"{what}; waiting for its end")
            announced = True
        clock.sleep(wait.poll_interval)
        service = context.ecs.fetch_service(service.name)
    return service


def _ongoing(ecs: Ecs, service: Service) -> Ongoing | None:
    """Return the deployment that is ongoing.

    Where the list is denied, unknown to the endpoint or does not answer, the classic deployments tell.
    """
    try:
        for brief in ecs.fetch_deployments(service.name):
            if not brief.status.is_terminal:
                return ongoing_of(brief)
    except AwsError as error:
        if not isinstance(error, Closed | Passing):
            raise refused(error, "list the service deployments") from error
        return ongoing_classic(ecs.cluster, service)
    return None


def start_deployment(context: Context, service: Service, arn: str, *, force: bool) -> Deployment | None:
    """Send UpdateService and return the deployment it made; None where it made none.

    Where the connection broke on the way, the service tells whether the update was carried out: a second
    one would supersede the first.
    """
    baseline = {d.id for d in service.deployments}
    for attempt in range(1, _UPDATE_ATTEMPTS + 1):
        try:
            updated = context.ecs.update_service(
                service.name, task_definition=arn, force_new_deployment=force
            )
        except Unclear as error:
            updated = context.ecs.fetch_service(service.name)
            primary = updated.primary
            if primary is None or primary.id in baseline or primary.task_definition != arn:
                if attempt == _UPDATE_ATTEMPTS:
                    raise Refused(
                        f"AWS did not carry out UpdateService ({error.text}).",
                        hint="Run the job again.",
                    ) from error
                continue
        primary = updated.primary
        return primary if primary is not None and primary.id not in baseline else None
    return None


def find_started(context: Context, service: Service, arn: str) -> Deployment | None:
    """Return the deployment that a cancelled UpdateService made, None where AWS did not carry it out.

    A job that is cancelled while the request is under way must know: it may have to roll back.
    """
    with suppress(CutShort, DeployError), at_most(_CANCEL_SECONDS):
        primary = context.ecs.fetch_service(service.name).primary
        baseline = {d.id for d in service.deployments}
        if primary is not None and primary.id not in baseline and primary.task_definition == arn:
            return primary
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


def check_deployable(service: Service, *, allow_desired_zero: bool) -> None:
    """Raise InvalidInput for a service that no deployment of ours can change, or that runs nothing."""
    if service.deployment_controller != "ECS":
        raise InvalidInput(
            f"The service {service.name!r} is deployed by {service.deployment_controller}, not by ECS.",
            hint="Only services with the deployment controller ECS can be deployed by this program.",
        )
    if service.status == "DRAINING":
        raise InvalidInput(f"The service {service.name!r} is being deleted (DRAINING).")
    if service.desired_count == 0 and not allow_desired_zero:
        raise InvalidInput(
            f"The desired count of the service {service.name!r} is 0: no task would run, so nothing would be "
            "verified.",
            hint="Scale the service up, or set allow-desired-zero to true.",
        )
