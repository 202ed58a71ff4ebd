"""The causes of a rollout's end: which of what was seen counts, in which order, by which proof."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rollout_looks import FOREIGN, OURS, OURS_GOING, WATCHED, crashed, deployment, rollout, service, unplaced

from ecs_gpu_deploy.core.capacity.container_instance import ContainerInstance
from ecs_gpu_deploy.core.capacity.fit import Room
from ecs_gpu_deploy.core.capacity.shortage import Answer, Shortage
from ecs_gpu_deploy.core.diagnose.rollout_causes import LastLook, diagnoses_at_end, phases_at_end
from ecs_gpu_deploy.core.judge.observed import History
from ecs_gpu_deploy.core.judge.phases import PhaseFacts, PhaseName
from ecs_gpu_deploy.core.judge.timing import ContainerCheck, HealthTiming, LoadBalancerCheck
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.judge.watch import Watch
from ecs_gpu_deploy.model import Container, Event, LogTail, TargetHealth, Task
from ecs_gpu_deploy.result import Diagnosis, Outcome

NO_CHECK = HealthTiming()
ELB = HealthTiming(load_balancer=LoadBalancerCheck(interval=30, unhealthy_threshold=2))
"""Allows 60 s."""
BOTH = replace(ELB, container=ContainerCheck(start_period=305))
"""Its container check allows 360 s."""
CONTAINER = HealthTiming(container=ContainerCheck())
"""Allows 55 s."""
DEFINITION = {"containerDefinitions": [{"name": "rag"}, {"name": "metrics", "essential": False}]}


def live(number: int = 9, status: str = "RUNNING", instance: str = "") -> Task:
    return Task(arn=f"arn:t/{number}", started_by=OURS, last_status=status, container_instance_arn=instance)


def ended(stop_code: str, reason: str, *containers: Container, number: int = 1, **rest: Any) -> Task:
    return Task(
        arn=f"arn:t/{number}",
        started_by=OURS,
        last_status="STOPPED",
        stop_code=stop_code,
        stopped_reason=reason,
        containers=containers,
        **rest,
    )


def event(message: str, at: float = 1100.0) -> Event:
    return Event(id=message, created_at=at, message=message)


def instance(name: str, *impaired: str, agent_connected: bool = True) -> ContainerInstance:
    room = Room(cpu=0, memory=0)
    return ContainerInstance(
        arn=f"arn:ci/{name}", impaired=impaired, agent_connected=agent_connected, room=room, whole=room
    )


def history(**seen: Any) -> History:
    return History(**{"started_at": 1000.0, "seen_at": 1200.0, **seen})


def causes(
    outcome: Outcome,
    seen: History | None = None,
    *,
    timing: HealthTiming = ELB,
    verdict: dict[str, Any] | None = None,
    **last: Any,
) -> tuple[Diagnosis, ...]:
    watch = Watch(
        watched=WATCHED,
        facts=PhaseFacts(placement_timeout=900.0, timing=timing),
        definition=DEFINITION,
        poll_interval=15.0,
    )
    return diagnoses_at_end(
        Verdict(outcome=outcome, reason="It ended.", **(verdict or {})),
        watch,
        seen or history(),
        LastLook(**{"service": OURS_GOING, **last}),
    )


def up(seconds: float, **seen: Any) -> History:
    """Return a history whose one task of ours runs for that long."""
    return history(live=(live(),), running_since={"arn:t/9": 1200.0 - seconds}, **seen)


UNHEALTHY = TargetHealth(
    target_group_arn="arn:tg",
    target_id="i-1",
    port=80,
    state="unhealthy",
    reason="Target.ResponseCodeMismatch",
    description="Health checks failed with these codes: [503]",
)
SAID_UNHEALTHY = event(
    "(service s) (port 80) is unhealthy in (target-group tg) due to (reason Health checks failed "
    "with these codes: [503])"
)
PULL = event("(service s) was unable to place a task. Reason: CannotPullContainerError: manifest unknown")
SPOT = ended("SpotInterruption", "Your Spot Task was interrupted.")
REPLACED = ended("ServiceSchedulerInitiated", "Scaling activity initiated by (deployment ecs-svc/3)")
HOST_GONE = ended("TaskFailedToStart", "Host EC2 (instance i-1) terminated.")
PUZZLE = ended("TaskFailedToStart", "A reason of the year 2031")
KILLED = ended(
    "ServiceSchedulerInitiated",
    "Task failed ELB health checks in (target-group tg)",
    Container(name="rag", exit_code=137),
    started_at=1000.0,
    stopping_at=1070.0,
)
GPU_BAD, DAEMON_BAD = instance("bad", "DAEMON", "ACCELERATED_COMPUTE"), instance("well", "DAEMON")
SHORT = Shortage(
    answer=Answer.IMPOSSIBLE, code="gpu-capacity", note="", message="It wants 4 GPUs.", hint="Ask for 1."
)
NO_GPU, ROOM_CAME = unplaced(1010.0), event("(service s) has started 1 tasks: (task a).", 1020.0)
NO_SPARE = event(
    "(service s) was unable to place a task because EC2 could not launch an instance: "
    "InsufficientInstanceCapacity",
    1015.0,
)
HOOK = "Service deployment rolled back because PRE_SCALE_UP lifecycle hook(s) failed."
BREAKER = "ECS deployment circuit breaker: tasks failed to start."


def tail(*lines: str, container: str = "rag", task: str = "1") -> LogTail:
    return LogTail(task_id=task, container=container, lines=lines)


CASES = {
    "asked for, nothing failed": lambda: causes(
        Outcome.ROLLED_BACK, history(events=(NO_GPU,)), verdict={"requested": True}
    ),
    "asked for, after a failure": lambda: causes(
        Outcome.ROLLED_BACK, history(stopped=(crashed(1),)), verdict={"requested": True}
    ),
    "nobody asked for it, nothing failed": lambda: causes(Outcome.FAILED, history(events=(NO_GPU,))),
    "a task failed, another one was replaced": lambda: causes(
        Outcome.FAILED, history(stopped=(crashed(2), REPLACED))
    ),
    "Spot took a task, and the breaker counted it": lambda: causes(
        Outcome.ROLLED_BACK, history(stopped=(SPOT,))
    ),
    "Spot took a task, and the time was over": lambda: causes(Outcome.TIMED_OUT, history(stopped=(SPOT,))),
    "Spot took a task, another one failed, and the time was over": lambda: causes(
        Outcome.TIMED_OUT, history(stopped=(SPOT, crashed(2)))
    ),
    "the host went before the task had started: one task": lambda: causes(
        Outcome.FAILED, history(stopped=(HOST_GONE,))
    ),
    **{
        f"a 503 while it loads: {outcome}": lambda outcome=outcome: causes(
            outcome, up(30, target_health=(UNHEALTHY,), events=(SAID_UNHEALTHY,))
        )
        for outcome in (
            Outcome.CANCELLED,
            Outcome.SUPERSEDED,
            Outcome.TIMED_OUT,
            Outcome.REFUSED,
            Outcome.ROLLED_BACK,
            Outcome.FAILED,
        )
    },
    "an event about a 503 while it loads": lambda: causes(
        Outcome.TIMED_OUT, up(60, events=(SAID_UNHEALTHY,))
    ),
    "an event about a 503 for longer than is allowed": lambda: causes(
        Outcome.TIMED_OUT, up(61, events=(SAID_UNHEALTHY,))
    ),
    "the longer of two checks counts": lambda: causes(
        Outcome.TIMED_OUT, up(360, target_health=(UNHEALTHY,)), timing=BOTH
    ),
    "and is over": lambda: causes(Outcome.TIMED_OUT, up(361, target_health=(UNHEALTHY,)), timing=BOTH),
    "the container's check alone": lambda: causes(
        Outcome.TIMED_OUT, up(55, target_health=(UNHEALTHY,)), timing=CONTAINER
    ),
    "and it is over": lambda: causes(Outcome.TIMED_OUT, up(56, target_health=(UNHEALTHY,)), timing=CONTAINER),
    "no check allows nothing": lambda: causes(
        Outcome.TIMED_OUT, up(0.5, target_health=(UNHEALTHY,)), timing=NO_CHECK
    ),
    "one of two tasks is overdue": lambda: causes(
        Outcome.TIMED_OUT,
        history(
            live=(live(8), live(9)),
            running_since={"arn:t/8": 1190.0, "arn:t/9": 1110.0},
            target_health=(UNHEALTHY,),
        ),
    ),
    "a shortage that is over, and all goes well": lambda: causes(
        Outcome.CANCELLED, history(events=(NO_GPU,))
    ),
    "a shortage that is not over": lambda: causes(
        Outcome.CANCELLED, history(events=(NO_GPU,), unplaced_since=1010.0)
    ),
    "a shortage that is over, and a task failed": lambda: causes(
        Outcome.CANCELLED, history(events=(NO_GPU,), stopped=(crashed(1),))
    ),
    "an image that is not there": lambda: causes(Outcome.TIMED_OUT, history(events=(PULL,))),
    "the log of the task": lambda: causes(
        Outcome.FAILED, history(stopped=(crashed(1),)), log_tails=(tail("CUDA out of memory"),)
    ),
    "the log of a container that is not essential": lambda: causes(
        Outcome.FAILED,
        history(stopped=(crashed(1),)),
        log_tails=(tail("CUDA out of memory", container="metrics"),),
    ),
    "an agent that is silent": lambda: causes(
        Outcome.FAILED,
        history(live=(live(instance="arn:ci/lost"),)),
        instances=(instance("lost", agent_connected=False), instance("here")),
    ),
    "a task came after the event, and all are there": lambda: causes(
        Outcome.FAILED,
        history(events=(NO_GPU, ROOM_CAME)),
        service=service(deployment(OURS, state="IN_PROGRESS", running=2)),
    ),
    "a task came after the event, and one is missing": lambda: causes(
        Outcome.FAILED,
        history(events=(NO_GPU, ROOM_CAME)),
        service=service(deployment(OURS, state="IN_PROGRESS", running=1)),
    ),
    "killed while it loaded": lambda: causes(
        Outcome.FAILED,
        history(stopped=(KILLED,)),
        log_tails=(tail("Loading model weights"),),
    ),
    "killed long after it may have loaded": lambda: causes(
        Outcome.FAILED,
        history(stopped=(replace(KILLED, stopping_at=4000.0),)),
        log_tails=(tail("Loading model weights"),),
    ),
    "AWS says twice why it rolled back": lambda: causes(
        Outcome.ROLLED_BACK,
        deployment=rollout("ROLLBACK_SUCCESSFUL", rollback_reason=HOOK, status_reason=HOOK),
    ),
    "AWS says why in the status alone": lambda: causes(
        Outcome.ROLLED_BACK, deployment=rollout("ROLLBACK_SUCCESSFUL", status_reason=HOOK)
    ),
    "AWS says why in the rollback alone": lambda: causes(
        Outcome.ROLLED_BACK, deployment=rollout("ROLLBACK_SUCCESSFUL", rollback_reason=HOOK)
    ),
    "the classic deployment says why": lambda: causes(
        Outcome.FAILED, service=service(deployment(OURS, state="FAILED", rollout_state_reason=HOOK))
    ),
    "the service deployment and the classic one say why": lambda: causes(
        Outcome.FAILED,
        deployment=rollout("STOPPED", status_reason="RESOURCE:GPU"),
        service=service(deployment(OURS, state="FAILED", rollout_state_reason=HOOK)),
    ),
    "a foreign classic deployment says why it failed": lambda: causes(
        Outcome.FAILED, service=service(deployment(FOREIGN, state="FAILED", rollout_state_reason=HOOK))
    ),
    "alarms went off": lambda: causes(
        Outcome.ROLLED_BACK,
        deployment=rollout("ROLLBACK_SUCCESSFUL", triggered_alarms=("p95", "5xx")),
    ),
    "nothing to go back to": lambda: causes(
        Outcome.FAILED, history(stopped=(crashed(1),)), verdict={"without_candidate": True}
    ),
    "nothing to go back to, and nothing else is known": lambda: causes(
        Outcome.FAILED, verdict={"without_candidate": True}
    ),
    "the breaker's words alone": lambda: causes(
        Outcome.FAILED, deployment=rollout("STOPPED", status_reason=BREAKER)
    ),
    **{
        f"a reason without a name: {outcome}": lambda outcome=outcome: causes(
            outcome, history(stopped=(PUZZLE,))
        )
        for outcome in (Outcome.SUPERSEDED, Outcome.CANCELLED, Outcome.FAILED)
    },
    "a failure before it was cancelled": lambda: causes(
        Outcome.CANCELLED, history(stopped=(PUZZLE, crashed(2)))
    ),
    "GPUs are impaired under a task that runs": lambda: causes(
        Outcome.FAILED,
        history(live=(live(7), live(8, instance="arn:ci/bad")), stopped=(crashed(1),)),
        instances=(DAEMON_BAD, GPU_BAD),
    ),
    "GPUs are impaired under tasks that failed": lambda: causes(
        Outcome.FAILED,
        history(
            since_healthy=(
                replace(crashed(1), container_instance_arn="arn:ci/bad"),
                replace(crashed(2), container_instance_arn="arn:ci/bad"),
            )
        ),
        instances=(GPU_BAD,),
    ),
    "GPUs are impaired under nobody": lambda: causes(
        Outcome.FAILED, history(live=(live(8, instance="arn:ci/well"),)), instances=(DAEMON_BAD, GPU_BAD)
    ),
    "GPUs are impaired, and the log says so too": lambda: causes(
        Outcome.FAILED,
        history(
            live=(live(8, instance="arn:ci/bad"),),
            stopped=(crashed(1),),
        ),
        instances=(GPU_BAD,),
        log_tails=(tail("nvidia-container-cli: initialization error: nml error: driver not loaded"),),
    ),
    "GPUs are impaired, and the log says something else": lambda: causes(
        Outcome.FAILED,
        history(
            live=(live(8, instance="arn:ci/bad"),),
            stopped=(crashed(1),),
        ),
        instances=(GPU_BAD,),
        log_tails=(tail("CUDA out of memory"),),
    ),
    **{
        f"no place, and AWS does not say why: {outcome}": lambda outcome=outcome: causes(
            outcome, history(shortage=SHORT, live=(live(7), live(8, "PROVISIONING"), live(9, "PROVISIONING")))
        )
        for outcome in (Outcome.NO_CAPACITY, Outcome.TIMED_OUT, Outcome.FAILED)
    },
    "no place, and AWS says what we reckoned": lambda: causes(
        Outcome.NO_CAPACITY,
        history(shortage=SHORT, events=(NO_GPU,), live=(live(8, "PROVISIONING"),), stopped=(PUZZLE,)),
    ),
    "no place, and a task ended in a way without a name": lambda: causes(
        Outcome.NO_CAPACITY, history(shortage=SHORT, stopped=(PUZZLE,))
    ),
    "no place, and AWS names what keeps it away": lambda: causes(
        Outcome.NO_CAPACITY, history(shortage=SHORT, events=(NO_GPU, NO_SPARE), stopped=(crashed(1),))
    ),
    "no place, and a task failed for another reason": lambda: causes(
        Outcome.NO_CAPACITY,
        history(shortage=SHORT, stopped=(crashed(1),)),
        log_tails=(tail("CUDA out of memory"),),
    ),
    "no place, and nobody knows why": lambda: causes(Outcome.NO_CAPACITY),
}


def said(found: tuple[Diagnosis, ...]) -> str:
    lines = [
        f"    {each.code} [{' '.join(each.tasks) or '-'}]: {' | '.join(each.evidence) or '-'}"
        for each in found
    ]
    return "\n".join(lines or ["    nothing"])


def test_the_causes_and_their_proof() -> None:
    golden = (Path(__file__).parent / "golden" / "rollout-causes.txt").read_text(encoding="utf-8")
    assert "\n".join(f"{name}\n{said(ask())}\n" for name, ask in CASES.items()) == golden


@pytest.mark.parametrize("events", [(), (NO_GPU,)], ids=["AWS says nothing", "AWS says it too"])
def test_a_shortage_is_told_in_our_words(events: tuple[Event, ...]) -> None:
    (found,) = causes(Outcome.NO_CAPACITY, history(shortage=SHORT, events=events))
    assert (found.message, found.hint) == (SHORT.message, SHORT.hint)


@pytest.mark.parametrize(
    ("outcome", "codes"),
    [
        (Outcome.FAILED, ["container-exit", "gpu-capacity"]),
        (Outcome.ROLLED_BACK, ["container-exit", "gpu-capacity"]),
        (Outcome.TIMED_OUT, ["gpu-capacity", "container-exit"]),
    ],
)
def test_what_tasks_failed_of_comes_before_the_lack_of_room_beside_them(
    outcome: Outcome, codes: list[str]
) -> None:
    seen = history(events=(NO_GPU,), unplaced_since=1010.0, stopped=(crashed(1), crashed(2)))
    assert [each.code for each in causes(outcome, seen)] == codes


def test_each_phase_has_its_seconds_and_its_deadline_moved_by_progress() -> None:
    facts = PhaseFacts(placement_timeout=900.0, timing=ELB, pull=600.0)
    seen = history(seconds={"placement": 12.0, "load": 45.0}, allowed={PhaseName.PULL: 30.0})
    phases = {each.name: (each.seconds, each.deadline) for each in phases_at_end(facts, seen)}
    assert list(phases) == ["placement", "pull", "start", "load", "traffic", "drain"]
    assert phases["placement"] == (12.0, 900.0)
    assert phases["pull"] == (0.0, 630.0)
    assert phases["load"] == (45.0, 120.0)


def test_tasks_that_somebody_stopped_are_told_where_nothing_else_is_known() -> None:
    stopped = tuple(
        Task(arn=f"arn:t/{n}", last_status="STOPPED", stop_code="UserInitiated", stopped_reason="cron job")
        for n in range(2)
    )
    (found,) = causes(Outcome.TIMED_OUT, history(stopped=stopped))
    assert (found.code, found.evidence, found.tasks) == ("unknown", ("cron job",), ("0", "1"))
    assert "StopTask" in found.message
    assert not causes(Outcome.TIMED_OUT, history(stopped=stopped[:1]))
    assert not causes(Outcome.SUCCEEDED, history(stopped=stopped))
    assert [each.code for each in causes(Outcome.TIMED_OUT, history(stopped=(*stopped, crashed(1))))] == [
        "container-exit"
    ]
