"""`python -m tools.first_sight [FILE...]`: how often the table was right at first sight, and is right today.

A file of tests/data/draws holds messages that were labelled and committed before the table was asked. What
the table answered then stands beside each that it missed (`answered`). Where the first label went against the
corpus's own conventions, `judged` keeps it beside the one that is true now; it counts as a miss.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from ecs_gpu_deploy.core.diagnose.diagnosis import explanation_of

DRAWS = Path(__file__).resolve().parents[1] / "tests" / "data" / "draws"

Message = Mapping[str, str]


@dataclass(frozen=True)
class Figure:
    """How many messages of a code were drawn, and how many of them were answered with that code."""

    right: int
    drawn: int

    def __str__(self) -> str:
        return f"{self.right} of {self.drawn} ({100 * self.right / self.drawn:.1f} %)"


def messages(path: Path) -> list[Message]:
    """Return the messages of one draw."""
    drawn: list[Message] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return drawn


def judged(message: Message) -> str:
    """Return the code that was written down before the table was asked."""
    return message.get("judged", message["code"])


def at_first_sight(drawn: Iterable[Message]) -> dict[str, Figure]:
    """Return the figure of each code that was judged, as the table stood when it was first asked."""
    return _by_code((judged(message), "answered" not in message) for message in drawn)


def today(drawn: Iterable[Message]) -> dict[str, Figure]:
    """Return the figure of each code with the table as it is."""
    return _by_code((m["code"], explanation_of(m["text"])[0].code == m["code"]) for m in drawn)


def _by_code(answers: Iterable[tuple[str, bool]]) -> dict[str, Figure]:
    right: Counter[str] = Counter()
    drawn: Counter[str] = Counter()
    for code, is_right in answers:
        drawn[code] += 1
        right[code] += is_right
    return {code: Figure(right[code], count) for code, count in drawn.most_common()}


def total(figures: Mapping[str, Figure]) -> Figure:
    """Return the sum of *figures*."""
    return Figure(sum(f.right for f in figures.values()), sum(f.drawn for f in figures.values()))


def draws() -> list[Path]:
    """Return the files of the draws, in the order in which they were drawn."""
    return sorted(DRAWS.glob("*.yml"), key=lambda path: int(path.stem))


def first_sight_table() -> str:
    """Return the figures of every draw, and those of the codes of the last one, in Markdown."""
    found = [(path, at_first_sight(messages(path))) for path in draws()]
    lines = ["| Draw | right at first sight |", "|---|---|"]
    lines += [f"| [{path.stem}](../tests/data/draws/{path.name}) | {total(codes)} |" for path, codes in found]
    path, codes = found[-1]
    lines += ["", f"The codes of draw {path.stem}:", "", "| Code | right at first sight |", "|---|---|"]
    lines += [f"| `{code}` | {figure.right} of {figure.drawn} |" for code, figure in codes.items()]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Print the figures of the named files, or of all; return 1 where today's table misses one."""
    missed = 0
    for path in [Path(name) for name in arguments] or draws():
        drawn = messages(path)
        first, now = at_first_sight(drawn), total(today(drawn))
        print(f"{path.stem}: {total(first)} at first sight, {now} today")
        for code, figure in first.items():
            print(f"  {code:<24}{figure}")
        missed += now.drawn - now.right
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
