"""Say why a rollout ended as it did, from everything that was seen of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ecs_gpu_deploy.core.capacity.container_instance import ContainerInstance
from ecs_gpu_deploy.core.diagnose.diagnosis import CAPACITY, diagnoses_of, diagnosis
from ecs_gpu_deploy.core.judge.culprit import side_containers
from ecs_gpu_deploy.core.judge.evidence import is_failure, is_unplaced_event, was_taken
from ecs_gpu_deploy.core.judge.observed import History, ours_of, up_seconds
from ecs_gpu_deploy.core.judge.phases import PhaseFacts, PhaseName, deadlines
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.judge.watch import Watch
from ecs_gpu_deploy.model import Event, LogTail, Service, ServiceDeployment
from ecs_gpu_deploy.result import Diagnosis, Outcome, Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLook:
    """What was last seen of AWS, beside the history; no `deployment` where AWS does not show us it."""

    service: Service
    deployment: ServiceDeployment | None = None
    instances: tuple[ContainerInstance, ...] = ()
    log_tails: tuple[LogTail, ...] = ()


def diagnoses_at_end(
    verdict: Verdict, watch: Watch, history: History, last: LastLook
) -> tuple[Diagnosis, ...]:
    """Return the causes, best first; empty where none is known and none is needed."""
    failed = tuple(task for task in history.stopped if is_failure(task))
    if verdict.requested and not failed:
        return ()
    taken = tuple(task for task in history.stopped if was_taken(task) and task not in failed)
    well = not failed and verdict.outcome in _WITHOUT_CAUSE and not _is_overdue(watch, history)
    found = diagnoses_of(
        tasks=(*history.live, *failed, *(() if well else taken)),
        events=tuple(event for event in history.events if not (well and _is_ordinary(event, history))),
        target_health=() if well else history.target_health,
        log_tails=last.log_tails,
        instances=last.instances,
        service=last.service,
        timing=watch.facts.timing,
        reasons=_said_by_aws(watch, last),
        proven=_proven(verdict, last),
        side=side_containers(watch.definition),
    )
    found = _consequences_last(_with_impaired_gpus(found, history, last))
    if verdict.outcome in {Outcome.FAILED, Outcome.ROLLED_BACK}:
        found = _failed_tasks_first(found)
    if verdict.outcome in {Outcome.STARTED, Outcome.SUPERSEDED, Outcome.CANCELLED}:
        return tuple(d for d in found if d.code != "unknown")
    return _with_shortage(found, verdict, history) or _stopped_by_somebody(verdict, history)


def _stopped_by_somebody(verdict: Verdict, history: History) -> tuple[Diagnosis, ...]:
    """Say that none of our tasks runs because they were stopped by calls of StopTask, each for its reason.

    Nothing of the revision failed then (API Reference, Task, stopCode UserInitiated).
    """
    stopped = [task for task in history.stopped if task.stop_code == "UserInitiated"]
    if verdict.outcome is Outcome.SUCCEEDED or len(stopped) < _STOPPED_LEAST or history.live:
        return ()
    return (
        diagnosis(
            "unknown",
            message="Somebody stopped them (StopTask), so nothing of the new revision runs.",
            hint="The evidence has the reason given. CloudTrail tells who calls StopTask: its events of that "
            "name have the task's ARN.",
            evidence=[task.stopped_reason for task in stopped],
            tasks=[task.id for task in stopped],
        ),
    )


_STOPPED_LEAST = 2


def _consequences_last(found: tuple[Diagnosis, ...]) -> tuple[Diagnosis, ...]:
    """Put behind what failed the tasks that there was nothing to roll back to."""
    return tuple(sorted(found, key=lambda each: each.code == "no-rollback-candidate"))


def _failed_tasks_first(found: tuple[Diagnosis, ...]) -> tuple[Diagnosis, ...]:
    """Put a lack of room that events tell of behind what tasks failed of: those had found a place."""
    if not any(each.tasks and each.code not in CAPACITY for each in found):
        return found
    return tuple(sorted(found, key=lambda each: each.code in CAPACITY and not each.tasks))


_WITHOUT_CAUSE = frozenset(
    {Outcome.STARTED, Outcome.CANCELLED, Outcome.SUPERSEDED, Outcome.TIMED_OUT, Outcome.REFUSED}
)
"""Ends that a rollout which goes well can have too."""


def _is_overdue(watch: Watch, history: History) -> bool:
    """Say whether a task of ours has loaded for longer than its health checks allow.

    Until then a 503 is an answer as it should be.
    """
    timing = watch.facts.timing
    allowed = max(timing.elb_allowed or 0.0, timing.container_allowed or 0.0)
    return any(up_seconds(history, task, history.seen_at) > allowed for task in history.live)


def _is_ordinary(event: Event, history: History) -> bool:
    """Say whether an event tells of what any rollout may meet: a load in progress, a shortage now over."""
    if is_unplaced_event(event):
        return history.unplaced_since is None
    return "is unhealthy in" in event.message


def _said_by_aws(watch: Watch, last: LastLook) -> tuple[str, ...]:
    """Return what AWS itself says of how the deployment went, never our own sentences about it."""
    deployment, classic = last.deployment, ours_of(watch.watched, last.service)
    said = [deployment.rollback_reason, deployment.status_reason] if deployment is not None else []
    said += [classic.rollout_state_reason] if classic is not None else []
    return tuple(said)


def _proven(verdict: Verdict, last: LastLook) -> dict[str, str]:
    """Return the codes that a field proves, not a text, with the evidence for each."""
    proven = {"no-rollback-candidate": verdict.reason} if verdict.without_candidate else {}
    if last.deployment is not None and last.deployment.triggered_alarms:
        proven["alarm"] = f"triggeredAlarmNames: {', '.join(last.deployment.triggered_alarms)}"
    if last.deployment is not None and "ROLLBACK" in last.deployment.status:
        failed = [hook for hook in last.deployment.hooks if hook.rolls_back]
        if failed:
            names = (f"{each.target_arn.rpartition(':')[2] or each.id} {each.status}" for each in failed)
            proven["hook-failed"] = f"lifecycleHookDetails: {', '.join(names)}"
    return proven


def _with_impaired_gpus(
    found: tuple[Diagnosis, ...], history: History, last: LastLook
) -> tuple[Diagnosis, ...]:
    """Add gpu-driver where a task of ours was on an instance whose GPUs AWS calls IMPAIRED.

    Source: docs/aws-facts.md#gpus-of-an-instance.
    """
    impaired = {each.arn: each for each in last.instances if "ACCELERATED_COMPUTE" in each.impaired}
    hit = [
        task for task in (*history.live, *history.since_healthy) if task.container_instance_arn in impaired
    ]
    if not hit or any(d.code == "gpu-driver" for d in found):
        return found
    proof = sorted({f"{impaired[t.container_instance_arn].id}: ACCELERATED_COMPUTE IMPAIRED" for t in hit})
    return (diagnosis("gpu-driver", evidence=proof, tasks=[task.id for task in hit]), *found)


def _with_shortage(found: tuple[Diagnosis, ...], verdict: Verdict, history: History) -> tuple[Diagnosis, ...]:
    """Say in the diagnosis of capacity which of the answers it is; add it where AWS says nothing itself.

    What AWS names as the reason why no room came (`_WHY_NO_ROOM`) stays before what we reckoned.
    """
    shortage = history.shortage
    if shortage is None or verdict.outcome not in {Outcome.NO_CAPACITY, Outcome.TIMED_OUT}:
        return found
    waiting = [task.id for task in history.live if task.last_status == "PROVISIONING"]
    same = next((d for d in found if d.code == shortage.code), None)
    if same is not None:
        own = replace(same, message=shortage.message, hint=shortage.hint)
    else:
        own = diagnosis(shortage.code, message=shortage.message, hint=shortage.hint, tasks=waiting)
    others = [d for d in found if d is not same and (same is not None or d.code != "unknown")]
    why = [d for d in others if d.code in _WHY_NO_ROOM]
    return (*why, own, *(d for d in others if d not in why))


_WHY_NO_ROOM = frozenset({"ec2-capacity", "vcpu-quota", "provisioning-limit", "agent-disconnected"})


def phases_at_end(facts: PhaseFacts, history: History) -> tuple[Phase, ...]:
    """Return every phase with the seconds spent in it and its deadline, moved by the progress it made."""
    limits = deadlines(facts)
    return tuple(
        Phase(
            name=name,
            seconds=history.seconds.get(name, 0.0),
            deadline=limits[name] + history.allowed.get(name, 0.0),
        )
        for name in PhaseName
    )
