"""When phases ran, how the gantt shows them, and what GPU time was held and wasted."""

import pytest

from ecs_gpu_deploy.core.judge.stays import Stay, with_look
from ecs_gpu_deploy.core.show.gpu_minutes import GpuMinutes, gpu_minutes, gpu_sentence
from ecs_gpu_deploy.core.show.progress import TaskGpus
from ecs_gpu_deploy.core.show.timeline import gantt
from ecs_gpu_deploy.result import Outcome


def test_a_phase_lasts_until_a_look_shows_the_next():
    stays = ()
    for at, name in ((0, "pull"), (20, "pull"), (40, "load"), (55, "pull"), (60, "pull")):
        stays = with_look(stays, name, at)
    assert [(s.name, s.began_at, s.ended_at) for s in stays] == [
        ("pull", 0, 40),
        ("load", 40, 55),
        ("pull", 55, 60),
    ]


def test_hours_of_a_crash_loop_stay_bounded():
    stays = ()
    for step in range(5000):
        stays = with_look(stays, ("load", "start")[step % 2], step)
    assert len(stays) == 200
    assert gantt(stays, (), until=5000).count("\n") < 30


def test_a_clock_that_goes_back_makes_no_stay_shorter():
    stays = with_look(with_look(with_look((), "pull", 10), "pull", 30), "load", 20)
    assert [(s.name, s.seconds) for s in stays] == [("pull", 20), ("load", 0)]


def test_a_gantt_has_real_times_in_milliseconds_and_no_foreign_syntax():
    tasks = [
        TaskGpus(task_id="ab:c#;%%\n}", gpus=1, placed_at=100, stopped_at=130, ran=12, failed=True),
        TaskGpus(task_id="never", gpus=1, placed_at=None),
        TaskGpus(task_id="fedcba9876543210", gpus=1, placed_at=100, stopped_at=160, ran=40),
        TaskGpus(task_id="0123", gpus=1, placed_at=100),
        TaskGpus(task_id="4567", gpus=1, placed_at=100, stopped_at=110, failed=True),
    ]
    stays = [Stay(name="load", began_at=100, ended_at=160)]
    assert gantt(stays, tasks, until=160, late={"load"}) == (
        "```mermaid\n"
        "gantt\n"
        "    dateFormat x\n"
        "    axisFormat %H:%M:%S\n"
        "    todayMarker off\n"
        "    section Rollout\n"
        "    load 1m :crit, 100000, 160000\n"
        "    section Tasks\n"
        "    abc failed after 12s :crit, 100000, 130000\n"
        "    fedcba98 ran 40s :done, 100000, 160000\n"
        "    0123 runs :active, 100000, 160000\n"
        "    4567 failed :crit, 100000, 110000\n"
        "```"
    )


def test_without_phases_there_is_no_gantt():
    assert gantt([Stay(name="load", began_at=1, ended_at=1)], (), until=1) == ""


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


def test_all_is_wasted_of_what_we_had_rolled_back():
    minutes = gpu_minutes(TASKS, until=180, outcome=Outcome.CANCELLED, is_taken_back=True)
    assert minutes == GpuMinutes(held=5, wasted=5)


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
