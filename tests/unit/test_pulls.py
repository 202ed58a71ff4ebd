"""What instances have to pull, by what was seen to run on them."""

from __future__ import annotations

import pytest

from ecs_gpu_deploy.core.image.layers import Layer
from ecs_gpu_deploy.core.past.durations import NOT_SEEN
from ecs_gpu_deploy.core.past.pulls import DEFAULT_SPEED, Pulls, pulls_of
from ecs_gpu_deploy.model import Container, Task

BASE, OLD, NEW = (Layer(digest=name, size=size) for name, size in (("base", 4e9), ("old", 1e9), ("new", 2e6)))
MANIFESTS = {"sha256:old": (BASE, OLD), "sha256:older": (BASE,)}


def task(instance: str, *, image: str = "sha256:old", at: float = 0.0, seconds: float | None = 40.0) -> Task:
    ended = None if seconds is None else at + seconds
    container = Container(name="rag", image_digest=image)
    return Task(
        arn=f"{instance}-{at}",
        container_instance_arn=instance,
        pull_started_at=at,
        pull_stopped_at=ended,
        containers=(container,),
    )


def pulls(*tasks: Task) -> Pulls:
    found = pulls_of({"rag:new": (BASE, NEW)}, tasks, MANIFESTS)
    assert found is not None
    return found


def test_layers_of_what_ran_are_there_and_others_are_not() -> None:
    found = pulls(task("a"))
    assert (found.missing("a"), found.missing("b")) == (2e6, 4.002e9)
    told = found.duration(["a", "b"])
    assert told.seconds == pytest.approx(4.002e9 / found.speed)
    assert told.source.startswith(
        "4 GB of 4 GB on 1 of 2 instances, 2 MB at the least, at 125 MB/s: measured"
    )


@pytest.mark.parametrize(
    ("tasks", "speed", "says"),
    [
        ([], DEFAULT_SPEED, NOT_SEEN),
        ([task("a", seconds=100)], 5e7, "as if they had pulled the whole image"),
        ([task("a", seconds=100), task("b", seconds=50)], 5e7, "on 2 tasks, as if"),
        # So fast it had most of it already, by a task that is not shown any more.
        ([task("a", seconds=2)], DEFAULT_SPEED, NOT_SEEN),
        # What was there before is known: a gigabyte in ten seconds.
        ([task("a", image="sha256:older", seconds=100), task("a", at=900, seconds=10)], 1e8, "on 1 task"),
        ([task("a", seconds=None)], DEFAULT_SPEED, NOT_SEEN),
        ([task("a", image="sha256:unknown", seconds=100)], DEFAULT_SPEED, NOT_SEEN),
    ],
)
def test_speed(tasks: list[Task], speed: float, says: str) -> None:
    found = pulls(*tasks)
    assert found.speed == pytest.approx(speed)
    assert says in found.source


def test_where_whoever_came_found_the_layers_there_other_instances_have_them_too() -> None:
    assert pulls(task("a", seconds=1), task("b", seconds=0)).missing("c") == 2e6
    assert pulls(task("a", seconds=1), task("b", seconds=40)).missing("c") == 4.002e9


def test_without_a_manifest_nothing_is_known() -> None:
    assert pulls_of({}, [task("a")], MANIFESTS) is None
