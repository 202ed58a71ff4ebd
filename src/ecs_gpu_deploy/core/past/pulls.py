"""What instances still have to pull of the new images, and how fast they pull: by what ran on them before.

The agent takes an image away once no task has used it for an hour (Amazon ECS Developer Guide, "Automated
task and image cleanup"), and AWS shows ended tasks for about as long: what is seen to have run is there.
Sources: docs/aws-facts.md#task-timeline and #stopped-tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from ecs_gpu_deploy.core.image.layers import Layer, size_text
from ecs_gpu_deploy.core.past.durations import NOT_SEEN, Duration
from ecs_gpu_deploy.core.text import count
from ecs_gpu_deploy.model import Task

DEFAULT_SPEED: Final = 100_000_000.0
"""Bytes a second that an instance pulls and unpacks, where none was measured: a guess of ours."""
FASTEST_SPEED: Final = 500_000_000.0
"""Who seems to have pulled faster had some of the layers already."""
_TELLING_BYTES: Final = 50_000_000
_TELLING_SECONDS: Final = 1.0

Layers = tuple[Layer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulls:
    """`images` are the layers of each new image (as the definition names it) that could be read.

    `there` are the digests of layers on each container instance (ARN) where tasks were seen, `elsewhere`
    those that the other instances of the cluster are taken to have: whoever came to one found them there.
    `speed` is in bytes a second and `source` where it comes from.
    """

    images: Mapping[str, Layers]
    there: Mapping[str, frozenset[str]]
    elsewhere: frozenset[str] = frozenset()
    speed: float
    source: str

    def missing(self, instance_arn: str) -> int:
        """Return the bytes that an instance of the cluster has to pull."""
        there = self.on(instance_arn)
        return sum(each.size for each in self._layers() if each.digest not in there)

    def on(self, instance_arn: str) -> frozenset[str]:
        """Return the digests of layers that an instance of the cluster has."""
        return self.there.get(instance_arn, self.elsewhere)

    def duration(self, instance_arns: Sequence[str]) -> Duration:
        """Return how long the longest pull on these instances takes, and what it rests on.

        Without an instance that is one of the whole.
        """
        total = sum(each.size for each in self._layers())
        whole = size_text(total)
        bytes_of = [self.missing(arn) for arn in instance_arns]
        most, least = max(bytes_of, default=total), min(bytes_of, default=0)
        what = f"{size_text(most)} of {whole}"
        if bytes_of and least < most:
            with_most = bytes_of.count(most)
            what += f" on {with_most} of {count(len(bytes_of), 'instance')}, {size_text(least)} at the least"
        return Duration(
            seconds=most / self.speed, source=f"{what}, at {size_text(round(self.speed))}/s: {self.source}"
        )

    def _layers(self) -> Iterable[Layer]:
        return {each.digest: each for layers in self.images.values() for each in layers}.values()


def pulls_of(
    images: Mapping[str, Layers], tasks: Sequence[Task], manifests: Mapping[str, Layers]
) -> Pulls | None:
    """Return what is to be pulled of *images*; None where none could be read.

    *tasks* are the service's, running and lately stopped; *manifests* are the layers of their images by
    digest, or by the name of an image that has none.
    """
    if not images:
        return None
    there: dict[str, set[str]] = {}
    exact: list[float] = []
    whole: list[float] = []
    found: list[set[str]] = []
    for task in sorted(tasks, key=lambda each: each.pull_started_at or 0.0):
        layers = [each for name in images_of(task) for each in manifests.get(name, ())]
        began, ended = task.pull_started_at, task.pull_stopped_at
        if not task.container_instance_arn or began is None or ended is None:
            continue
        seen_before = task.container_instance_arn in there
        on_disk = there.setdefault(task.container_instance_arn, set())
        pulled = sum({each.digest: each.size for each in layers if each.digest not in on_disk}.values())
        if not seen_before and pulled and pulled > FASTEST_SPEED * (ended - began):
            found.append({each.digest for each in layers})
        if pulled >= _TELLING_BYTES and ended - began >= _TELLING_SECONDS:
            (exact if seen_before else whole).append(pulled / (ended - began))
        on_disk |= {each.digest for each in layers}
    speed, source = _speed(exact, whole)
    return Pulls(
        images=images,
        elsewhere=frozenset(set.union(*found)) if len(found) == len(there) > 0 else frozenset(),
        there={arn: frozenset(digests) for arn, digests in there.items()},
        speed=speed,
        source=source,
    )


def images_of(task: Task) -> Iterable[str]:
    """Give what names the images of a task: their digests, else what its definition calls them."""
    return (each.image_digest or each.image for each in task.containers)


def _speed(exact: Sequence[float], whole: Sequence[float]) -> tuple[float, str]:
    """Return the speed, by pulls of which is known what was there before, else by the slowest.

    Of the others all that is known is that they pulled no more than the whole.
    """
    if exact:
        return median(exact), f"measured on {count(len(exact), 'task')}"
    if whole and min(whole) <= FASTEST_SPEED:
        return min(whole), f"measured on {count(len(whole), 'task')}, as if they had pulled the whole image"
    return DEFAULT_SPEED, NOT_SEEN
