"""A rollout that goes on, as a line for a log and as a frame for a terminal: golden text."""

from dataclasses import replace

import pytest

from ecs_gpu_deploy.core.judge.phases import PhaseName
from ecs_gpu_deploy.core.show.progress import Hook, Progress
from ecs_gpu_deploy.core.show.progress_view import event_line, frame, hook_lines, progress_line, ticked

LOADING = Progress(
    at=1000,
    started_at=80,
    phase=PhaseName.LOAD,
    phase_seconds=543,
    deadline=1200,
    before={PhaseName.PLACEMENT: 5, PhaseName.PULL: 372, PhaseName.LOAD: 543},
    new_running=2,
    new_desired=2,
    old_running=2,
    breaker_enabled=True,
    breaker_failures=1,
    breaker_threshold=3,
    failed_tasks=1,
)
HOOK = Hook(
    id="hook-1",
    stage="POST_SCALE_UP",
    expires_at=1000 + 3900,
    timeout_action="ROLLBACK",
    continue_command="ecs-gpu-deploy continue --service rag",
    rollback_command="ecs-gpu-deploy reject --service rag",
    aws_command="aws ecs continue-service-deployment --hook-id hook-1",
)


def having(**changes):
    return replace(LOADING, **changes)


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (LOADING, "pull 6m12s · load 9m03s of 20m · new 2/2 running · old 2 · breaker 1/3"),
        (
            having(new_healthy=1, old_running=0, breaker_failures=0, failed_tasks=0),
            "pull 6m12s · load 9m03s of 20m · new 2/2 running, 1 healthy",
        ),
        (
            having(phase=PhaseName.DRAIN, phase_seconds=5, deadline=0, new_healthy=2, breaker_failures=0),
            "pull 6m12s · load 9m03s · drain 5s · new 2/2 healthy · old 2 · 1 task failed",
        ),
        (
            having(phase_seconds=1260, breaker_enabled=False),
            "pull 6m12s · load 21m of 20m (late) · new 2/2 running · old 2 · 1 task failed",
        ),
        (
            having(
                phase=PhaseName.PLACEMENT,
                phase_seconds=200,
                new_running=0,
                breaker_failures=0,
                failed_tasks=0,
                capacity_wait=180,
                capacity_limit=900,
                note="the capacity provider scales out",
            ),
            "placement 3m20s of 20m · new 0/2 running · old 2 · no room for 3m of 15m"
            " · the capacity provider scales out",
        ),
        (
            having(rolling_back=True, note="rolling back to \x1b[31mrag:7\n::error::x"),
            "rolling back · new 2/2 running · old 2 · breaker 1/3 · rolling back to rag:7 ⏎ ::error::x",
        ),
        (
            having(rolling_back=True, new_desired=0, new_running=0, failed_tasks=0, breaker_failures=0),
            "rolling back · old 2",
        ),
        (
            having(lifecycle_stage="BAKE_TIME", failed_tasks=0, breaker_failures=0),
            "pull 6m12s · load 9m03s of 20m · new 2/2 running · old 2 · stage BAKE_TIME",
        ),
        (
            having(lifecycle_stage="POST_SCALE_UP", hook=HOOK, failed_tasks=0, breaker_failures=0),
            "pull 6m12s · load 9m03s of 20m · new 2/2 running · old 2 · stage POST_SCALE_UP"
            " · a hook waits, 1h05m left",
        ),
    ],
    ids=[
        "the phases that took long, the present one with its deadline, the breaker",
        "some tasks are healthy",
        "all are healthy, the old ones drain; AWS has reset the breaker",
        "a late phase without a breaker",
        "nothing finds a place",
        "a rollback has no deadline of ours; a note is text",
        "a rollback that has stopped our tasks",
        "the stage of a blue/green deployment",
        "a hook that waits for somebody",
    ],
)
def test_a_log_line(progress, line):
    assert progress_line(progress) == line


def test_a_note_is_told_once():
    waiting = having(note="the capacity provider scales out")
    assert progress_line(waiting).endswith(" · the capacity provider scales out")
    assert progress_line(waiting, told=waiting.note).endswith(" · breaker 1/3")


def text(progress):
    return "\n".join("".join(part for _, part in line) for line in frame(progress)).rstrip()


def test_the_frame_of_a_rollout():
    assert text(LOADING) == (
        "rollout 15m20s · new 2/2 running · old 2 · breaker 1/3\n"
        " ✓ placement      5s\n"
        " ✓ pull        6m12s\n"
        "   start\n"
        " ▸ load        9m03s ━━━━━━━━━━━───────────── of 20m\n"
        "   traffic\n"
        "   drain"
    )


def test_the_frame_of_a_late_phase_without_room():
    late = having(phase=PhaseName.PLACEMENT, phase_seconds=1000, deadline=900, capacity_wait=990.0, before={})
    assert text(late) == (
        "rollout 15m20s · new 2/2 running · old 2 · breaker 1/3\n"
        " ▸ placement  16m40s ━━━━━━━━━━━━━━━━━━━━━━━━ of 15m (late)\n"
        "   pull\n"
        "   start\n"
        "   load\n"
        "   traffic\n"
        "   drain\n"
        " ! no room for 16m30s"
    )


def test_the_frame_of_a_rollback_with_a_hook():
    assert text(having(rolling_back=True, hook=HOOK)) == (
        "rolling back 15m20s · new 2/2 running · old 2 · a hook waits, 1h05m left · breaker 1/3\n"
        " · placement      5s\n"
        " · pull        6m12s\n"
        "   start\n"
        " · load        9m03s\n"
        "   traffic\n"
        "   drain\n"
        " the hook hook-1 waits at POST_SCALE_UP for an answer for another 1h05m, then AWS does ROLLBACK\n"
        "   to go on:     ecs-gpu-deploy continue --service rag\n"
        "   to roll back: ecs-gpu-deploy reject --service rag\n"
        "   or:           aws ecs continue-service-deployment --hook-id hook-1"
    )


def test_a_frame_is_marked_where_it_matters():
    styles = {part.strip(): style for line in frame(having(phase_seconds=1300)) for style, part in line}
    assert styles["✓ pull        6m12s"] == "done"
    assert styles["▸ load       21m40s"] == "late"
    assert styles["drain"] == "quiet"


def test_between_two_looks_only_the_time_goes_on():
    later = ticked(having(capacity_wait=5.0), 3)
    assert (later.at, later.phase_seconds, later.capacity_wait) == (1003, 546, 8)
    assert later.key == having(capacity_wait=5.0).key


def test_a_hook_without_an_end():
    assert hook_lines(Hook(id="h", stage="PRE_SCALE_UP"), at=0) == (
        "the hook h waits at PRE_SCALE_UP for an answer",
    )


def test_an_event_is_short_and_text():
    message = (
        "(service rag) registered 1 targets in (target-group arn:aws:elasticloadbalancing:eu-central-1:"
        "123456789012:targetgroup/ki-rag/6d0ecf831eec9f09) \x1b[31m##[error]x"
    )
    assert event_line(message, service="rag") == (
        "event: registered 1 targets in (target-group ki-rag) ## [error]x"
    )
