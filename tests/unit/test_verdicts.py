"""What the judge says, word by word, for each way a rollout can stand or end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rollout_looks import (
    BACK_TO_OLD,
    FOREIGN,
    OLD,
    OURS,
    OURS_DONE,
    OURS_GOING,
    OURS_WAITING,
    WATCHED,
    crashed,
    deployment,
    look,
    rollout,
    service,
    unplaced,
    verdict,
)

from ecs_gpu_deploy.core.capacity.shortage import Answer, Shortage
from ecs_gpu_deploy.core.judge.phases import PhaseFacts
from ecs_gpu_deploy.core.judge.rollout import Snapshot, Verdict, Waiting, history_at_start, judge, observed
from ecs_gpu_deploy.core.judge.timing import HealthTiming
from ecs_gpu_deploy.model import CircuitBreaker, Container, Event, LifecycleHook, TargetHealth, Task

NO_ROLLBACK = CircuitBreaker(enable=True, rollback=False)
NO_BREAKER = CircuitBreaker()
WHY = "ECS deployment circuit breaker: tasks failed to start."


def running(number: int = 1, **more: Any) -> Task:
    given: dict[str, Any] = {"started_by": OURS, "last_status": "RUNNING", "desired_status": "RUNNING"}
    return Task(arn=f"arn:t/{number}", **{**given, **more})


TWO = (running(1), running(2))


def on_going(at: float = 1100, *, shown: Any = OURS_GOING, tasks: Any = (), **more: Any) -> Snapshot:
    return look(at, shown, rollout("IN_PROGRESS", **more), tasks=tasks)


def done(at: float, shown: Any = OURS_DONE, *, tasks: Any = TWO, **more: Any) -> Snapshot:
    return replace(look(at, shown, rollout("SUCCESSFUL"), tasks=tasks), **more)


def ended(status: str, shown: Any, **more: Any) -> Snapshot:
    return look(1200, shown, rollout(status, **more))


def classic(at: float, *deployments: Any, **more: Any) -> Snapshot:
    return look(at, service(*deployments, **more), closed=True)


def failed_here(**more: Any) -> Any:
    return deployment(OURS, state="FAILED", running=0, rollout_state_reason=WHY, **more)


def event(message: str, at: float = 1100) -> Event:
    return Event(id=message, created_at=at, message=message)


SHORTAGE = Shortage(
    answer=Answer.IMPOSSIBLE,
    code="gpu-capacity",
    note="impossible here",
    message="A task wants 4 GPUs on one instance.",
    hint="",
    certain=True,
)
NOT_CERTAIN = replace(SHORTAGE, certain=False)


def without_place(at: float, shortage: Shortage | None = None) -> Snapshot:
    shown = replace(OURS_WAITING, events=(unplaced(1010),))
    return replace(look(at, shown, rollout("IN_PROGRESS")), shortage=shortage)


TARGETS = (
    TargetHealth(target_group_arn="arn:tg", target_id="i-1", port=1, state="healthy"),
    TargetHealth(
        target_group_arn="arn:tg", target_id="i-1", port=2, state="unhealthy", description="Request timed out"
    ),
)
RAG = "registry.example/rag:1"


def with_image(digest: str, image: str = RAG) -> tuple[Task, ...]:
    return tuple(
        running(n, containers=(Container(name="rag", image=image, image_digest=digest),)) for n in (1, 2)
    )


DIGESTS = replace(WATCHED, digests={"rag": ("sha256:aaa",)})
CHECKED = replace(WATCHED, checked_containers=frozenset({"rag"}))


def with_health(*statuses: str) -> tuple[Task, ...]:
    return tuple(
        running(number, containers=(Container(name="rag", health_status=status),))
        for number, status in enumerate(statuses)
    )


CLOCK = service(deployment(OURS, created_at=1005.0))
CLOCK_GOING = service(deployment(OURS, state="IN_PROGRESS", created_at=1005.0))
"""AWS's clock is 5 s ahead."""


def failed_after(seconds: float, number: int = 1, ended: float = 1090.0) -> Task:
    return replace(crashed(number), started_at=ended - seconds, stopping_at=ended, stopped_at=ended)


def judged(snapshot: Snapshot) -> Any:
    """Return what is said of one look, without another one."""
    return judge(WATCHED, snapshot, observed(WATCHED, history_at_start(WATCHED), snapshot), snapshot.at)


STALL = event(
    "(service s) was unable to stop or start tasks during a deployment because of the service "
    "deployment configuration."
)

CASES: dict[str, Any] = {
    # AWS calls it done.
    "done, without any check": lambda: verdict(done(1100)),
    "done, one task": lambda: verdict(
        done(1100, service(deployment(OURS, running=1), desired=1), tasks=TWO[:1])
    ),
    "done, with a container check": lambda: verdict(
        done(1100, tasks=with_health("HEALTHY", "HEALTHY")), watched=CHECKED
    ),
    "done, with a load balancer": lambda: verdict(
        done(1100, service(deployment(OURS), target_group_arns=("arn:tg",)), target_health=TARGETS[:1] * 2)
    ),
    "done, the load balancer shows less": lambda: verdict(
        done(1100, service(deployment(OURS), target_group_arns=("arn:tg",)), target_health=TARGETS[:1])
    ),
    "done, the load balancer was not shown": lambda: verdict(
        done(1100, service(deployment(OURS), target_group_arns=("arn:tg",)))
    ),
    "done, one container's check passes": lambda: verdict(
        done(1100, tasks=with_health("HEALTHY", "UNKNOWN")), watched=CHECKED
    ),
    "done, the tasks were not shown": lambda: verdict(done(1100, tasks=())),
    "done, the digest was not shown": lambda: verdict(done(1100), watched=DIGESTS),
    "done, the digest is the pushed one": lambda: verdict(
        done(1100, tasks=with_image("sha256:aaa")), watched=DIGESTS
    ),
    "done, early": lambda: verdict(
        done(1100, service(deployment(OURS, running=1), early_success_percent=50), tasks=TWO[:1])
    ),
    "done, and a newer one has begun": lambda: verdict(
        done(1100, service(deployment(FOREIGN), deployment(OURS, "ACTIVE")))
    ),
    "done, desired 0": lambda: verdict(done(1100, service(deployment(OURS, running=0), desired=0), tasks=())),
    "done, desired 0 as asked": lambda: verdict(
        done(1100, service(deployment(OURS, running=0), desired=0), tasks=()),
        watched=replace(WATCHED, allow_desired_zero=True),
    ),
    "done, one healthy task": lambda: verdict(
        done(1100, service(deployment(OURS, running=1), desired=1), tasks=with_health("HEALTHY")),
        watched=CHECKED,
    ),
    "done, one of two checks passes": lambda: verdict(
        done(1100, tasks=with_health("UNKNOWN", "UNKNOWN", "HEALTHY")), watched=CHECKED
    ),
    "done, early by a third of five": lambda: verdict(
        done(
            1100,
            service(deployment(OURS, running=2), desired=5, early_success_percent=34),
            tasks=TWO,
        )
    ),
    "done, all run under early success criteria": lambda: verdict(
        done(1100, service(deployment(OURS), early_success_percent=100))
    ),
    "done, more are asked for since": lambda: verdict(
        on_going(), done(1100, service(deployment(OURS), desired=5))
    ),
    "done, one task is on its way out": lambda: verdict(
        done(1100, tasks=(*TWO, running(3, desired_status="STOPPED")))
    ),
    "done, tasks were not looked at": lambda: judged(replace(done(1100), tasks=None)),
    # Some tasks failed before: it has to stay up for a while.
    "done after a failure": lambda: verdict(on_going(tasks=(failed_after(20),)), done(1200)),
    "done after a failure, 39 s later": lambda: verdict(
        on_going(tasks=(failed_after(20),)), done(1200), done(1239)
    ),
    "done after a failure, 40 s later": lambda: verdict(
        on_going(tasks=(failed_after(20),)), done(1200), done(1240)
    ),
    "done after failures that took long": lambda: verdict(
        on_going(tasks=(failed_after(20), failed_after(90, 2))), done(1200), done(1289)
    ),
    "done after failures that took long, as long as that": lambda: verdict(
        on_going(tasks=(failed_after(20), failed_after(90, 2))), done(1200), done(1290)
    ),
    "done after failures that took very long": lambda: verdict(
        on_going(tasks=(failed_after(900),)), done(1200), done(1319)
    ),
    "done after failures that took very long, 2 min later": lambda: verdict(
        on_going(tasks=(failed_after(900),)), done(1200), done(1320)
    ),
    "done after a failure, somebody chose 10 s": lambda: verdict(
        on_going(tasks=(failed_after(90),)),
        done(1200),
        done(1209),
        watched=replace(WATCHED, settle_seconds=10.0),
    ),
    "done after a failure, somebody chose 10 s, 10 s later": lambda: verdict(
        on_going(tasks=(failed_after(90),)),
        done(1200),
        done(1210),
        watched=replace(WATCHED, settle_seconds=10.0),
    ),
    "done, and a task stopped by hand before": lambda: verdict(
        on_going(
            tasks=(running(3, last_status="STOPPED", stop_code="UserInitiated", stopped_reason="it failed"),)
        ),
        done(1200),
    ),
    "done, and a task failed since": lambda: verdict(
        done(1200, CLOCK), done(1210, CLOCK, tasks=(*TWO, failed_after(20, 3, ended=1206.0)))
    ),
    "done, and a task failed since, 40 s later": lambda: verdict(
        done(1200, CLOCK),
        *(done(at, CLOCK, tasks=(*TWO, failed_after(20, 3, ended=1206.0))) for at in (1210, 1240)),
    ),
    "done, and a task failed since, nobody waits for more": lambda: verdict(
        done(1200, CLOCK),
        done(1210, CLOCK, tasks=(*TWO, failed_after(20, 3, ended=1206.0))),
        watched=replace(WATCHED, settle_seconds=0.0),
    ),
    "done, and tasks fail for ever": lambda: verdict(
        done(1200, CLOCK),
        done(1210, CLOCK, tasks=tuple(failed_after(20, n, ended=1206.0) for n in (3, 4, 5))),
        done(1215, CLOCK, tasks=(running(8), running(9))),
    ),
    "done, and tasks fail now and then for five minutes": lambda: verdict(
        done(1200, CLOCK),
        done(1210, CLOCK, tasks=(failed_after(20, 3, ended=1206.0),)),
        done(1500, CLOCK, tasks=(running(8), running(9))),
    ),
    "done after a failure, somebody chose 0 s": lambda: verdict(
        on_going(tasks=(failed_after(90),)), done(1200), watched=replace(WATCHED, settle_seconds=0.0)
    ),
    "done, somebody chose 10 s": lambda: verdict(
        on_going(), done(1200), watched=replace(WATCHED, settle_seconds=10.0)
    ),
    "done after a failure, and a newer one has begun": lambda: verdict(
        on_going(tasks=(failed_after(90),)),
        done(1200, service(deployment(FOREIGN), deployment(OURS, "ACTIVE"))),
    ),
    "done, and a task failed in the same second": lambda: verdict(
        done(1200, CLOCK), done(1210, CLOCK, tasks=(*TWO, failed_after(20, 3, ended=1205.0)))
    ),
    # AWS calls it done, and its views say otherwise.
    "too few run": lambda: verdict(done(1100, service(deployment(OURS, running=1)))),
    "too few run, 59 s later": lambda: verdict(
        *(done(at, service(deployment(OURS, running=1))) for at in (1100, 1159))
    ),
    "too few run, 60 s later": lambda: verdict(
        *(done(at, service(deployment(OURS, running=1))) for at in (1100, 1160))
    ),
    "another image": lambda: verdict(done(1100, tasks=with_image("sha256:bbb")), watched=DIGESTS),
    "another image, 59 s later": lambda: verdict(
        *(done(at, tasks=with_image("sha256:bbb")) for at in (1100, 1159)), watched=DIGESTS
    ),
    "another image, 60 s later": lambda: verdict(
        *(done(at, tasks=with_image("sha256:bbb")) for at in (1100, 1160)), watched=DIGESTS
    ),
    "another image, pinned by digest": lambda: verdict(
        *(done(at, tasks=with_image("sha256:bbb", "registry.example/rag@sha256:bbb")) for at in (1100, 1160)),
        watched=DIGESTS,
    ),
    "a container is ill": lambda: verdict(
        done(1100, tasks=with_health("HEALTHY", "UNHEALTHY")), watched=CHECKED
    ),
    "a container is ill, 60 s later": lambda: verdict(
        *(done(at, tasks=with_health("HEALTHY", "UNHEALTHY")) for at in (1100, 1160)), watched=CHECKED
    ),
    "a target is ill without a word": lambda: verdict(
        *(done(at, target_health=(TARGETS[0], replace(TARGETS[1], description=""))) for at in (1100, 1160))
    ),
    "a target is ill, old tasks are still there": lambda: verdict(
        done(1100, tasks=(*TWO, running(9, started_by=OLD)), target_health=TARGETS)
    ),
    "a target is ill, but enough are well": lambda: verdict(
        done(1100, target_health=(TARGETS[0], replace(TARGETS[0], port=3), TARGETS[1]))
    ),
    "a target of another group is ill": lambda: verdict(
        done(1100, target_health=(*TARGETS[:1] * 2, replace(TARGETS[1], target_group_arn="arn:other")))
    ),
    "a container is ill, but enough are well": lambda: verdict(
        done(1100, tasks=with_health("HEALTHY", "HEALTHY", "UNHEALTHY")), watched=CHECKED
    ),
    "a target is ill": lambda: verdict(done(1100, target_health=TARGETS)),
    "a target is ill, 60 s later": lambda: verdict(*(done(at, target_health=TARGETS) for at in (1100, 1160))),
    "a target is ill, 60 s later, of a slow check": lambda: verdict(
        *(done(at, target_health=TARGETS) for at in (1100, 1160)),
        facts=PhaseFacts(placement_timeout=900.0, timing=HealthTiming(), healthy_seconds=75.0),
    ),
    "the old one is still shown": lambda: verdict(done(1100, BACK_TO_OLD)),
    "the old one is still shown, 180 s later": lambda: verdict(
        *(done(at, BACK_TO_OLD) for at in (1100, 1280))
    ),
    "the old one is still shown, 180 s later, and no task": lambda: verdict(
        *(done(at, BACK_TO_OLD, tasks=()) for at in (1100, 1280))
    ),
    # Rollbacks.
    "AWS rolls back": lambda: verdict(ended("ROLLBACK_IN_PROGRESS", BACK_TO_OLD, rollback_reason=WHY)),
    "AWS is to roll back": lambda: verdict(ended("ROLLBACK_REQUESTED", BACK_TO_OLD)),
    "rolled back by the breaker": lambda: verdict(
        ended("ROLLBACK_SUCCESSFUL", BACK_TO_OLD, rollback_reason=WHY, breaker_status="TRIGGERED")
    ),
    "rolled back by an alarm": lambda: verdict(
        ended("ROLLBACK_SUCCESSFUL", BACK_TO_OLD, status_reason="An alarm.", triggered_alarms=("5xx", "p99"))
    ),
    "rolled back by an alarm that is named": lambda: verdict(
        ended(
            "ROLLBACK_SUCCESSFUL", BACK_TO_OLD, status_reason="Alarm 5xx detected.", triggered_alarms=("5xx",)
        )
    ),
    "rolled back by an alarm, with no words": lambda: verdict(
        ended("ROLLBACK_SUCCESSFUL", BACK_TO_OLD, triggered_alarms=("5xx",))
    ),
    "rolled back by a hook": lambda: verdict(
        ended("ROLLBACK_SUCCESSFUL", BACK_TO_OLD, hooks=(LifecycleHook(id="h", status="FAILED"),))
    ),
    "rolled back as AWS says": lambda: verdict(
        ended(
            "ROLLBACK_SUCCESSFUL",
            BACK_TO_OLD,
            rollback_reason="Service deployment rolled back because of it.",
        )
    ),
    "rolled back by somebody": lambda: verdict(
        ended("ROLLBACK_SUCCESSFUL", BACK_TO_OLD, rollback_reason="By hand.")
    ),
    "rolled back by somebody after failures": lambda: verdict(
        on_going(tasks=(crashed(1),)), ended("ROLLBACK_SUCCESSFUL", BACK_TO_OLD)
    ),
    "rolled back, and too few run": lambda: verdict(
        ended("ROLLBACK_SUCCESSFUL", replace(BACK_TO_OLD, running_count=1), breaker_status="TRIGGERED")
    ),
    "the rollback failed": lambda: verdict(
        ended("ROLLBACK_FAILED", OURS_GOING, status_reason="No candidate.")
    ),
    # Stopped.
    "superseded": lambda: verdict(
        ended("STOPPED", service(deployment(FOREIGN, state="IN_PROGRESS"), deployment(OURS, "ACTIVE")))
    ),
    "superseded, as the newer one's id tells": lambda: verdict(
        replace(ended("STOPPED", BACK_TO_OLD), newer=replace(rollout("IN_PROGRESS"), arn="arn:sd/c/s/newer"))
    ),
    "stopped by the breaker": lambda: verdict(
        ended("STOPPED", OURS_GOING, breaker_status="TRIGGERED", status_reason=WHY)
    ),
    "stopped by an alarm": lambda: verdict(ended("STOPPED", OURS_GOING, triggered_alarms=("5xx",))),
    "stopped after ours failed": lambda: verdict(
        on_going(shown=service(failed_here(), deployment(OLD, "ACTIVE"))), ended("STOPPED", BACK_TO_OLD)
    ),
    "stopped after ours failed by its event, though a newer one came": lambda: verdict(
        ended(
            "STOPPED",
            service(
                deployment(FOREIGN), events=(event(f"(service s) (deployment {OURS}) deployment failed: x."),)
            ),
            status_reason="why",
        )
    ),
    "AWS is to stop it": lambda: verdict(ended("STOP_REQUESTED", OURS_GOING, status_reason="By hand.")),
    "stopped, AWS says why": lambda: verdict(ended("STOPPED", OURS_GOING, status_reason="By hand.")),
    "stopped, AWS says nothing": lambda: verdict(ended("STOPPED", OURS_GOING)),
    # On its way.
    "on its way": lambda: verdict(on_going()),
    "a stage": lambda: verdict(on_going(lifecycle_stage="SCALE_UP")),
    "bake time": lambda: verdict(on_going(lifecycle_stage="BAKE_TIME")),
    "bake time with alarms": lambda: verdict(
        on_going(lifecycle_stage="BAKE_TIME", shown=replace(OURS_GOING, alarms=("5xx", "p99")))
    ),
    "traffic moves": lambda: verdict(
        on_going(
            lifecycle_stage="PRODUCTION_TRAFFIC_SHIFT",
            production_traffic=12.5,
            shown=replace(OURS_GOING, strategy="LINEAR"),
        )
    ),
    "traffic moves, not yet": lambda: verdict(
        on_going(lifecycle_stage="PRODUCTION_TRAFFIC_SHIFT", shown=replace(OURS_GOING, strategy="CANARY"))
    ),
    "traffic moves at once": lambda: verdict(
        on_going(lifecycle_stage="PRODUCTION_TRAFFIC_SHIFT", shown=replace(OURS_GOING, strategy="BLUE_GREEN"))
    ),
    "a hook waits for somebody": lambda: verdict(
        on_going(
            lifecycle_stage="POST_TEST_TRAFFIC_SHIFT",
            hooks=(
                LifecycleHook(id="done", status="SUCCEEDED"),
                LifecycleHook(id="h", status="AWAITING_ACTION"),
            ),
        )
    ),
    "a hook waits at a stage that is not said": lambda: verdict(
        on_going(hooks=(LifecycleHook(id="h", status="AWAITING_ACTION"),))
    ),
    "a hook runs": lambda: verdict(
        on_going(
            lifecycle_stage="PRE_SCALE_UP",
            hooks=(
                LifecycleHook(id="h", status="IN_PROGRESS", target_arn="arn:aws:lambda:r:1:function:smoke"),
            ),
        )
    ),
    "the breaker has tripped without rollback": lambda: verdict(
        on_going(breaker_status="TRIGGERED", shown=replace(OURS_GOING, circuit_breaker=NO_ROLLBACK))
    ),
    "the breaker has tripped, AWS says why": lambda: verdict(
        on_going(
            breaker_status="TRIGGERED",
            status_reason=WHY,
            shown=replace(OURS_GOING, circuit_breaker=NO_ROLLBACK),
        )
    ),
    "the breaker has tripped with rollback": lambda: verdict(on_going(breaker_status="TRIGGERED")),
    "ours failed without rollback": lambda: verdict(
        on_going(shown=service(failed_here(), deployment(OLD, "ACTIVE"), breaker=NO_ROLLBACK))
    ),
    # By the classic deployments.
    "classic: done": lambda: verdict(replace(classic(1100, deployment(OURS)), tasks=TWO)),
    "classic: done, without a state": lambda: verdict(
        replace(classic(1100, replace(deployment(OURS), rollout_state=None)), tasks=TWO)
    ),
    "classic: no state, and the old one runs": lambda: verdict(
        classic(1100, replace(deployment(OURS), rollout_state=None), deployment(OLD, "ACTIVE"))
    ),
    "classic: no PRIMARY": lambda: verdict(classic(1100, deployment(OURS, "ACTIVE"))),
    "classic: not shown yet": lambda: verdict(classic(1100, deployment(OLD))),
    "classic: not shown for 149 s": lambda: verdict(*(classic(at, deployment(OLD)) for at in (1001, 1149))),
    "classic: not shown for 150 s": lambda: verdict(*(classic(at, deployment(OLD)) for at in (1001, 1150))),
    "classic: rolls back": lambda: verdict(
        classic(1100, failed_here(), deployment(OLD, "ACTIVE")),
        classic(1110, deployment(OLD, state="IN_PROGRESS"), failed_here(status="DRAINING")),
    ),
    "classic: rolled back": lambda: verdict(
        classic(1100, failed_here(), deployment(OLD, "ACTIVE")), classic(1200, deployment(OLD))
    ),
    "classic: the rollback failed": lambda: verdict(
        classic(1100, failed_here(), deployment(OLD, "ACTIVE")),
        classic(1200, deployment(OLD, state="FAILED", rollout_state_reason="It failed too.")),
    ),
    "classic: rolled back to a new id, as its reason says": lambda: verdict(
        classic(1200, deployment(FOREIGN, rollout_state_reason="rolling back to deploymentId ecs-svc/1."))
    ),
    "classic: superseded": lambda: verdict(classic(1100, deployment(FOREIGN, state="IN_PROGRESS"))),
    "classic: a newer one appears beside ours": lambda: verdict(
        classic(1100, deployment(FOREIGN, state="IN_PROGRESS"), deployment(OURS, "ACTIVE", "IN_PROGRESS"))
    ),
    "classic: a newer one after ours failed for good": lambda: verdict(
        classic(1100, failed_here(), breaker=NO_ROLLBACK),
        classic(1200, deployment(FOREIGN, state="IN_PROGRESS"), breaker=NO_ROLLBACK),
    ),
    "classic: failed, a rollback may begin": lambda: verdict(
        *(classic(at, failed_here(), deployment(OLD, "ACTIVE")) for at in (1100, 1119))
    ),
    "classic: failed, no rollback has begun": lambda: verdict(
        *(classic(at, failed_here(), deployment(OLD, "ACTIVE")) for at in (1100, 1120))
    ),
    "classic: failed, rollback is off": lambda: verdict(
        classic(1100, failed_here(), deployment(OLD, "ACTIVE"), breaker=NO_ROLLBACK)
    ),
    # The service itself.
    "not known": lambda: verdict(look(1100, None)),
    "not known for 149 s": lambda: verdict(look(1100, None), look(1249, None)),
    "not known for 150 s": lambda: verdict(look(1100, None), look(1250, None)),
    "not known at the timeout": lambda: verdict(look(4590, None), look(4600, None)),
    "deleted": lambda: verdict(look(1100, replace(OURS_GOING, status="DRAINING"))),
    "gone": lambda: verdict(look(1100, replace(OURS_GOING, status="INACTIVE"))),
    "not shown": lambda: verdict(replace(on_going(), stale=True)),
    "not shown, the rollback ended": lambda: verdict(*unshown(1100, 1159, "ROLLBACK_SUCCESSFUL")),
    "not shown for a minute, the rollback ended": lambda: verdict(
        *unshown(1100, 1160, "ROLLBACK_SUCCESSFUL")
    ),
    "not shown for a minute, the rollback failed": lambda: verdict(*unshown(1100, 1160, "ROLLBACK_FAILED")),
    "not shown for a minute, successful": lambda: verdict(*unshown(1100, 1160, "SUCCESSFUL")),
    "rolled back, and a newer one has begun": lambda: verdict(
        look(
            1200,
            replace(BACK_TO_OLD, deployments=(deployment(FOREIGN),)),
            rollout("ROLLBACK_SUCCESSFUL", rollback_reason=WHY),
        )
    ),
    "stopped, as somebody asked": lambda: verdict(
        look(1100, OURS_GOING, rollout("ROLLBACK_REQUESTED")), look(1110, OURS_GOING, rollout("STOPPED"))
    ),
    # Ours.
    "no place": lambda: verdict(without_place(1020), without_place(1919)),
    "no place for too long": lambda: verdict(without_place(1020), without_place(1920)),
    "no place, it cannot come": lambda: verdict(without_place(1020), without_place(1140, SHORTAGE)),
    "no place, it cannot come, but somebody chose": lambda: verdict(
        without_place(1020), without_place(1140, SHORTAGE), watched=replace(WATCHED, placement_given=True)
    ),
    "no place, it may come": lambda: verdict(without_place(1020), without_place(1140, NOT_CERTAIN)),
    "a crash loop": lambda: verdict(
        on_going(
            shown=replace(OURS_GOING, circuit_breaker=NO_BREAKER), tasks=tuple(crashed(n) for n in range(3))
        )
    ),
    "a crash loop of as many as somebody chose": lambda: verdict(
        on_going(shown=replace(OURS_GOING, circuit_breaker=NO_BREAKER), tasks=(crashed(1),)),
        watched=replace(WATCHED, crash_loop_threshold=1),
    ),
    "a deadlock": lambda: verdict(on_going(shown=replace(OURS_GOING, events=(STALL,), maximum_percent=100))),
    "no deadlock, an old one may stop": lambda: verdict(
        on_going(shown=replace(OURS_GOING, events=(STALL,), maximum_percent=100, minimum_healthy_percent=50))
    ),
    "no deadlock, a new one may start": lambda: verdict(
        on_going(shown=replace(OURS_GOING, events=(STALL,), maximum_percent=150))
    ),
    "no deadlock, AWS does not say so": lambda: verdict(
        on_going(shown=replace(OURS_GOING, maximum_percent=100))
    ),
    "a phase is late": lambda: verdict(
        on_going(1010, tasks=(running(last_status="PENDING"),)),
        on_going(1610, tasks=(running(last_status="PENDING"),)),
        facts=PhaseFacts(placement_timeout=900.0, timing=HealthTiming(), given={"pull": 600.0}),
    ),
    "a phase is not late yet": lambda: verdict(
        on_going(1010, tasks=(running(last_status="PENDING"),)),
        on_going(1609, tasks=(running(last_status="PENDING"),)),
        facts=PhaseFacts(placement_timeout=900.0, timing=HealthTiming(), given={"pull": 600.0}),
    ),
    "placement is late": lambda: verdict(
        on_going(1010, shown=OURS_WAITING),
        on_going(1070, shown=OURS_WAITING),
        facts=PhaseFacts(placement_timeout=900.0, timing=HealthTiming(), given={"placement": 60.0}),
    ),
    "timed out": lambda: verdict(on_going(1010), on_going(4600)),
    "not yet timed out": lambda: verdict(on_going(1010), on_going(4599)),
    "timed out, ours is gone": lambda: verdict(on_going(4600, shown=BACK_TO_OLD)),
    "timed out while a hook waits": lambda: verdict(
        on_going(4600, lifecycle_stage="X", hooks=(LifecycleHook(id="h", status="AWAITING_ACTION"),))
    ),
    "timed out without a place": lambda: verdict(
        without_place(4000, NOT_CERTAIN), without_place(4600, NOT_CERTAIN)
    ),
    "timed out, as old as AWS says": lambda: verdict(on_going(4600, shown=CLOCK_GOING, created_at=1105.0)),
    "timed out, younger than it can be": lambda: verdict(
        on_going(4600, shown=CLOCK_GOING, created_at=9999.0)
    ),
    "timed out in a status without a name": lambda: verdict(look(4600, OURS_GOING, rollout(""))),
    "timed out while AWS shows nothing": lambda: verdict(
        on_going(4000), replace(on_going(4480), stale=True), replace(on_going(4600), stale=True)
    ),
    "timed out while AWS rolls back": lambda: verdict(
        look(4600, BACK_TO_OLD, rollout("ROLLBACK_IN_PROGRESS", rollback_reason=WHY))
    ),
}


def unshown(since: float, until: float, status: str) -> tuple[Snapshot, Snapshot]:
    shown = replace(
        look(since, OURS_GOING, rollout(status, rollback_reason=WHY, status_reason=WHY)), stale=True
    )
    return shown, replace(shown, at=until)


def said(answer: Verdict | Waiting) -> str:
    if isinstance(answer, Verdict):
        more = [name for name in ("ours", "without_candidate", "requested") if getattr(answer, name)]
        more += [] if answer.stable else ["not stable"]
        return f"{answer.outcome}{' (' + ', '.join(more) + ')' if more else ''}: {answer.reason}"
    more = [name for name in ("rolling_back", "stage", "hook", "closer") if getattr(answer, name)]
    return f"waiting{' (' + ', '.join(more) + ')' if more else ''}: {answer.note}".rstrip(": ")


def test_the_judges_words() -> None:
    golden = (Path(__file__).parent / "golden" / "verdicts.txt").read_text(encoding="utf-8")
    assert "\n".join(f"{name}\n    {said(ask())}\n" for name, ask in CASES.items()) == golden


def not_launched(at: float, *tasks: Task, told_at: float = 1005.0) -> Snapshot:
    text = "(service s) failed to launch a task with (error ECS was unable to assume the role 'r')."
    event = Event(id="e", created_at=told_at, message=text)
    ours = deployment(OURS, state="IN_PROGRESS", running=0, created_at=1000.0)
    return on_going(at, shown=service(ours, deployment(OLD, "ACTIVE"), events=(event,)), tasks=tasks)


def test_tasks_that_ecs_cannot_even_begin_fail_after_the_placement_timeout() -> None:
    found = verdict(not_launched(1020), not_launched(1920))
    assert isinstance(found, Verdict)
    assert found.ours
    assert found.outcome == "failed"
    assert "could be launched for 15 min" in found.reason
    assert "unable to assume the role 'r'" in found.reason


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param([not_launched(1020), not_launched(1904)], id="not before"),
        pytest.param([not_launched(1020), not_launched(1920, running())], id="a task began after all"),
        pytest.param([not_launched(1920, told_at=1900.0)], id="it counts from AWS's first word"),
    ],
)
def test_tasks_may_begin_until_then(looks: list[Snapshot]) -> None:
    assert isinstance(verdict(*looks), Waiting)
