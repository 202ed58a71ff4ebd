"""The stays of a rollout in its phases: the one history from which log, summary and result tell durations.

What is between two looks belongs to the phase that the first of them showed. The zero is the moment at which
the rollout, or the watch of it, began.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

ROLLING_BACK = "rolling back"
"""What a rollout is in that AWS takes back; no phase of ours."""
_KEPT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """One stay of the rollout in one phase, in epoch seconds. A crash loop comes back to a phase."""

    name: str
    began_at: float
    ended_at: float

    @property
    def seconds(self) -> float:
        """Return how long it lasted."""
        return max(self.ended_at - self.began_at, 0.0)


def with_look(stays: tuple[Stay, ...], name: str, at: float) -> tuple[Stay, ...]:
    """Return *stays* after a look at *at* that showed the phase *name*; a bounded number of them."""
    if not stays:
        return (Stay(name=name, began_at=at, ended_at=at),)
    *earlier, last = stays
    last = replace(last, ended_at=max(at, last.ended_at))
    if last.name == name:
        return (*earlier, last)
    return (*earlier, last, Stay(name=name, began_at=last.ended_at, ended_at=last.ended_at))[-_KEPT:]
