"""When phases ran, how the gantt shows them, and what GPU time was held and wasted."""

import pytest

from ecs_gpu_deploy.core.judge.phases import PhaseName
from ecs_gpu_deploy.core.show.gpu_minutes import GpuMinutes, gpu_minutes, gpu_sentence
from ecs_gpu_deploy.core.show.progress import Progress, TaskGpus
from ecs_gpu_deploy.core.show.timeline import PhaseSpan, Timeline, gantt
from ecs_gpu_deploy.result import Outcome


def looks(*phases):
    """Make a timeline of (second, phase, seconds in it) looks."""
    timeline = Timeline()
    for at, phase, seconds in phases:
        timeline = timeline.with_look(
            Progress(at=at, started_at=0, phase=phase, phase_seconds=seconds, deadline=100)
        )
    return timeline


def test_a_phase_ends_where_the_next_begins():
    timeline = looks((5, PhaseName.PULL, 5), (20, PhaseName.PULL, 20), (40, PhaseName.LOAD, 10))
    assert [(s.name, s.began_at, s.ended_at) for s in timeline.spans] == [("pull", 0, 30), ("load", 30, 40)]
    assert timeline.seconds(PhaseName.PULL) == 30


def test_a_crash_loop_comes_back_to_a_phase():
    timeline = looks((10, PhaseName.LOAD, 10), (15, PhaseName.START, 5), (30, PhaseName.LOAD, 15))
    assert [s.name for s in timeline.spans] == ["load", "start", "load"]
    assert timeline.seconds(PhaseName.LOAD) == 25


def test_hours_of_a_crash_loop_stay_bounded():
    timeline = Timeline()
    for step in range(5000):
        phase = (PhaseName.LOAD, PhaseName.START)[step % 2]
        timeline = timeline.with_look(
            Progress(at=step, started_at=0, phase=phase, phase_seconds=1, deadline=100)
        )
    assert len(timeline.spans) <= 200
    assert gantt(timeline.spans, (), until=5000).count("\n") < 30


def test_a_gantt_has_real_times_in_milliseconds_and_no_foreign_syntax():
    tasks = [
        TaskGpus(task_id="ab:c#;%%\n}", gpus=1, placed_at=100, stopped_at=130, failed=True),
        TaskGpus(task_id="never", gpus=1, placed_at=None),
        TaskGpus(task_id="fedcba9876543210", gpus=1, placed_at=100, stopped_at=160),
    ]
    assert gantt([PhaseSpan(name="load", began_at=100, ended_at=160)], tasks, until=160) == (
        "```mermaid\n"
        "gantt\n"
        "    dateFormat x\n"
        "    axisFormat %H:%M:%S\n"
        "    todayMarker off\n"
        "    section Rollout\n"
        "    load 1m :100000, 160000\n"
        "    section Tasks\n"
        "    abc failed after 30s :crit, 100000, 130000\n"
        "    fedcba98 ran 1m :done, 100000, 160000\n"
        "```"
    )


def test_without_phases_there_is_no_gantt():
    assert gantt([PhaseSpan(name="load", began_at=1, ended_at=1)], (), until=1) == ""


TASKS = (
    TaskGpus(task_id="a", gpus=1, placed_at=0, stopped_at=60, failed=True),
    TaskGpus(task_id="b", gpus=2, placed_at=60),
    TaskGpus(task_id="c", gpus=4, placed_at=None),
    TaskGpus(task_id="d", gpus=8, placed_at=0, ours=False),
)


@pytest.mark.parametrize(
    ("outcome", "minutes"),
    [
        (Outcome.SUCCEEDED, GpuMinutes(held=5, wasted=1)),
        (Outcome.ROLLED_BACK, GpuMinutes(held=5, wasted=5)),
        (Outcome.TIMED_OUT, GpuMinutes(held=5, wasted=1)),
    ],
    ids=[
        "of a success, failed tasks are wasted",
        "of a rollback, everything is wasted",
        "a rollout left running may still serve",
    ],
)
def test_gpu_minutes_count_our_placed_tasks(outcome, minutes):
    assert gpu_minutes(TASKS, until=180, outcome=outcome) == minutes


@pytest.mark.parametrize(
    ("minutes", "cost", "sentence"),
    [
        (GpuMinutes(), 2.0, ""),
        (GpuMinutes(held=5), None, "5.0 GPU-minutes held, none wasted"),
        (GpuMinutes(held=5, wasted=5), None, "5.0 GPU-minutes held, all wasted"),
        (
            GpuMinutes(held=90, wasted=30),
            2.5,
            "90.0 GPU-minutes held, 30.0 of them wasted (at 2.5 per GPU-hour: 3.75 spent, 1.25 wasted)",
        ),
    ],
)
def test_gpu_time_reads_as_a_sentence(minutes, cost, sentence):
    assert gpu_sentence(minutes, hourly_cost=cost) == sentence
