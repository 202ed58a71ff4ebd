"""A rollback that we asked AWS for: how long its end is waited for, and what is said of it.

The timeout bounds the wait for the rollout. A rollback that it ends in takes its own time: AWS starts the old
tasks again where they are gone, each of them loads, and ours leave (docs/aws-facts.md#stopping-a-deployment).
"""

from __future__ import annotations

from collections.abc import Sequence

from ecs_gpu_deploy.core.judge.observed import Watched, is_ours
from ecs_gpu_deploy.core.judge.phases import PhaseFacts, PhaseName, deadlines, leaving_seconds
from ecs_gpu_deploy.core.judge.verdict import Verdict, Waiting, spoken_span
from ecs_gpu_deploy.model import Event, Service, short_id
from ecs_gpu_deploy.result import Outcome

REFUSED_STOP_SECONDS = 60.0
"""How long AWS's views may lag behind the end for which it refuses to stop a deployment."""


def rollback_seconds(facts: PhaseFacts) -> float:
    """Return the seconds for which the end of a rollback is waited for.

    The new tasks leave, and old ones start, load and get their traffic; the image is on the instances still.
    """
    limits = deadlines(facts)
    phases = (PhaseName.START, PhaseName.LOAD, PhaseName.TRAFFIC)
    return leaving_seconds(facts) + sum(limits[phase] for phase in phases)


def rollback_sentence(
    watched: Watched,
    service: Service,
    answer: Verdict | Waiting,
    *,
    asked_for: str,
    option: str,
    seconds: float,
    events: Sequence[Event],
    unseen: str = "",
) -> str:
    """Return how the rollback to the revision *asked_for*, which *option* asks for, went in *seconds*.

    *service* is what was last seen of it, *events* those since the request; *unseen* says why nobody looked
    to the end.
    """
    if isinstance(answer, Verdict) and answer.outcome == Outcome.ROLLED_BACK:
        primary = service.primary
        back = primary is not None and not is_ours(watched, primary)
        to = short_id(primary.task_definition) if primary is not None and back else asked_for
        ended = f"ended after {spoken_span(seconds)}: {_running(service)}"
        return f"The rollback to {to} that {option} asks for {ended}."
    head = f"The rollback to {asked_for} that {option} asks for"
    blocked = _blocked(events)
    if isinstance(answer, Verdict):
        return f"{head} did not end well: {answer.reason} Now {_running(service)}.{blocked}"
    if unseen:
        return f"{head} was requested, and AWS carries it out; its end was not seen: {unseen}."
    note = f"; {answer.note.rstrip('.')}" if answer.note else ""
    return (
        f"{head} was requested and had not ended after {spoken_span(seconds)}: "
        f"{_running(service)}{note}.{blocked}"
    )


def _running(service: Service) -> str:
    if not service.running_count and service.desired_count:
        return f"nothing runs (0 of {service.desired_count} tasks)"
    running, asked = service.running_count, service.desired_count
    return f"{running} of {asked} task runs" if asked == 1 else f"{running} of {asked} tasks run"


def _blocked(events: Sequence[Event]) -> str:
    """Return what AWS says that it is unable to do, the latest of it."""
    told = next((event.message for event in reversed(events) if "unable to" in event.message), "")
    return f" AWS says: {told}" if told else ""
