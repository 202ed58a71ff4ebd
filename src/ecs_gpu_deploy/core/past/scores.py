"""What was foreseen of rollouts beside what came: kept in a tag, and what it says of the next one.

A revision's tag `predicted` has the last rollouts of its service, those of earlier revisions too: so what is
read of the running revision anyway tells how far a prediction can be trusted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from ecs_gpu_deploy.result import PastPrediction, TrackRecord

LEAST: Final = 5
"""Fewer rollouts give no interval: of four, a fifth lies outside of them two times in five."""
_CUT: Final = 0.1
"""The share of the errors that is left out at either end, where there are enough of them."""
_TAG: Final = "predicted"
_LONGEST_VALUE: Final = 256
_WORDS: Final = {"well": "succeeds", "back": "rolls back", "bad": "fails", "never": "stands still"}
_SHORT: Final = {ends: word for word, ends in _WORDS.items()}
_SCORE: Final = re.compile(
    r"(?P<number>[\w-]+):(?P<predicted>\d{1,7})/(?P<actual>\d{1,7})"
    r"(?::(?P<low>\d{1,7})-(?P<high>\d{1,7}))?(?::(?P<foreseen>well|back|bad|never)/(?P<ended>well|back|bad|never))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One rollout that was foreseen: `number` is the end of its deployment's id, as far as it is kept.

    `predicted` and `actual` are its seconds, `foreseen` and `ended` how it was to end and did (succeeds,
    rolls back, fails, stands still); `low` and `high` bound the interval that was told before it, None for
    none.
    """

    number: str
    predicted: float
    actual: float
    foreseen: str = "succeeds"
    ended: str = "succeeds"
    low: float | None = None
    high: float | None = None

    @property
    def is_as_foreseen(self) -> bool:
        """Say whether it ended as it was foreseen to."""
        return is_as_foreseen(self.foreseen, self.ended)

    @property
    def ratio(self) -> float | None:
        """Return the actual seconds in units of the predicted ones, None where they do not compare."""
        well = self.foreseen == self.ended == "succeeds"
        return self.actual / self.predicted if well and self.predicted > 0 else None

    @property
    def lay_within(self) -> bool | None:
        """Say whether it lay within the interval that was told before it, None where none was."""
        if self.low is None or self.high is None or self.ended != "succeeds":
            return None
        return self.low <= self.actual <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """The seconds between which the next rollout is to last, by the errors of the rollouts before it.

    `middle` is the prediction times the median error. `level` is how often the next one lies within, where it
    is drawn as the others were; `within` of `rollouts` lay within what the others say of them.
    """

    low: float
    high: float
    middle: float
    level: float
    within: int
    rollouts: int


def number_kept(number: str) -> str:
    """Return what is kept of a deployment's number, of which a tag would hold half as many in full."""
    return number[-6:]


def is_as_foreseen(ends: str, ended: str) -> bool:
    """Say whether a rollout that was to end so did: whether AWS found something to go back to is no part."""
    return ends == ended or {ends, ended} <= {"rolls back", "fails"}


def interval_of(seconds: float, ratios: Sequence[float]) -> Interval | None:
    """Return the interval around *seconds* by earlier *ratios* (actual over predicted); None for too few.

    The ordered errors bound the next one by rank, whatever their distribution: between the k-th lowest and
    the k-th highest of n lies the next one in n + 1 - 2k of n + 1 cases, if it is drawn as they were
    (conformal prediction: Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World").
    """
    if len(ratios) < LEAST:
        return None
    low, high, cut = _bounds(ratios)
    within = 0
    for at, ratio in enumerate(ratios):
        lowest, highest, _ = _bounds([*ratios[:at], *ratios[at + 1 :]])
        within += lowest <= ratio <= highest
    return Interval(
        low=seconds * low,
        high=seconds * high,
        middle=seconds * median(ratios),
        level=(len(ratios) + 1 - 2 * cut) / (len(ratios) + 1),
        within=within,
        rollouts=len(ratios),
    )


def _bounds(ratios: Sequence[float]) -> tuple[float, float, int]:
    ordered = sorted(ratios)
    cut = max(1, int((len(ordered) + 1) * _CUT))
    return ordered[cut - 1], ordered[len(ordered) - cut], cut


def ratios_of(seconds: Sequence[float]) -> tuple[float, ...]:
    """Return for each rollout what it lasted in units of the median of the others, in *seconds* all."""
    return tuple(
        each / median([*seconds[:at], *seconds[at + 1 :]])
        for at, each in enumerate(seconds)
        if len(seconds) > 1
    )


def scores_of(about: Mapping[str, str]) -> tuple[Score, ...]:
    """Read the scores in what a revision's tags tell (short key → value), oldest first."""
    found = (_SCORE.fullmatch(word) for word in about.get(_TAG, "").split())
    return tuple(
        Score(
            number=match["number"],
            predicted=float(match["predicted"]),
            actual=float(match["actual"]),
            foreseen=_WORDS[match["foreseen"] or "well"],
            ended=_WORDS[match["ended"] or "well"],
            low=float(match["low"]) if match["low"] else None,
            high=float(match["high"]) if match["high"] else None,
        )
        for match in found
        if match
    )


def all_scores(tags: Iterable[Mapping[str, str]]) -> dict[str, Score]:
    """Return the scores in the tags of several revisions, by the number of their deployment."""
    return {score.number: score for about in tags for score in scores_of(about)}


def scored_tag(before: Sequence[Score], score: Score) -> dict[str, str]:
    """Return the tag (short key → value) with *score* behind those *before* it; the oldest have to go.

    AWS takes values of 256 characters (Developer Guide, "Tag restrictions").
    """
    known = {each.number: each for each in before if each.number != score.number} | {score.number: score}
    words = [_word(each) for each in known.values()]
    while len(" ".join(words)) > _LONGEST_VALUE:
        del words[0]
    return {_TAG: " ".join(words)}


def _word(score: Score) -> str:
    told = f"{score.number}:{score.predicted:.0f}/{score.actual:.0f}"
    if score.low is not None and score.high is not None:
        told += f":{score.low:.0f}-{score.high:.0f}"
    if (score.foreseen, score.ended) != ("succeeds", "succeeds"):
        told += f":{_SHORT[score.foreseen]}/{_SHORT[score.ended]}"
    return told


def record_of(predictions: Iterable[PastPrediction]) -> TrackRecord:
    """Return how good *predictions* were."""
    each = list(predictions)
    told = [one.within_interval for one in each if one.within_interval is not None]
    errors = [
        abs(one.actual_seconds / one.seconds - 1)
        for one in each
        if one.ends == one.ended == "succeeds" and one.seconds > 0
    ]
    return TrackRecord(
        rollouts=len(each),
        as_foreseen=sum(is_as_foreseen(one.ends, one.ended) for one in each),
        error=round(median(errors), 4) if errors else None,
        within=sum(told),
        told=len(told),
    )
