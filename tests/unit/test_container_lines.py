"""Lines of a container: whole, in order, and cut where the log driver cuts them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ecs_gpu_deploy.sandbox.runtime.container_lines import LONGEST_EVENT, ContainerLines


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """A container whose log is these pieces; the stream that is followed ends after some of them."""

    pieces: tuple[bytes, ...]
    followed: int

    def logs(self, *, stream: bool, follow: bool) -> Iterator[bytes]:
        del stream
        return itertools.islice(self.pieces, self.followed if follow else None)


def written(*pieces: bytes, followed: int | None = None) -> list[str]:
    lines: list[str] = []
    complaints: list[Any] = []
    container = Printed(pieces=pieces, followed=len(pieces) if followed is None else followed)
    follower = ContainerLines(container, lines.append, complaints.append)
    follower.finish()
    assert complaints == []
    return lines


@pytest.mark.parametrize("followed", [0, 1, 2, 3])
def test_lines_are_whole_however_they_come_and_wherever_the_stream_ends(followed):
    assert written(b"one\nt", b"wo\r\n\nth", b"ree", followed=followed) == ["one", "two", "", "three"]


def test_a_line_without_end_is_cut_as_awslogs_cuts_it_and_takes_no_longer_for_its_length():
    piece = b"x" * 16_384
    lines = written(*[piece] * 4_000, b"\nend\n")
    assert [len(line) for line in lines[:-2]] == [LONGEST_EVENT] * (4_000 * 16_384 // LONGEST_EVENT)
    assert len("".join(lines)) == 4_000 * 16_384 + len("end")
    assert lines[-1] == "end"
