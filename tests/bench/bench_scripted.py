"""How often the program asks AWS in the scripted worlds (tests/scripted), in calls for 3 s of waiting.

all         worlds that take more than a minute: median and worst, by file and in all
after zero  the same without what is asked before UpdateService or RunTask
unplaced    the same, only of the time in which no task of ours has a place, where that is more than a minute
ten hours   calls in all, where a rollout bakes or pauses for as long

The limits are 1 at the median, 1.3 while nothing is placed, 600 calls in ten hours. With --report FILE it
reads what a run of the tests has written (SCRIPTED_REPORT=FILE pytest tests/scripted) and runs nothing.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "scripted"))

from scripted_aws import serve
from scripted_pace import pace
from scripted_run import run
from scripted_state import State
from scripted_worlds import load

MEDIAN, UNPLACED, TEN_HOURS = 1.0, 1.3, 600
AT_LEAST = 60.0
"""Seconds of waiting below which the calls of the beginning are all that there is."""


def measured(case):
    """Run a world and return its name, kind, calls and seconds."""
    kind, world = case
    with tempfile.TemporaryDirectory() as folder, serve(State(world)) as aws:
        ended = run(aws, world, Path(folder))
        return {"kind": kind, "world": world["world"], "cpu": ended.cpu, **pace(aws)}


def ratios(rows, calls="calls", seconds="waited"):
    """Return (calls for 3 s, world) of the worlds that wait for more than a minute."""
    return [(3 * row[calls] / row[seconds], row["world"]) for row in rows if row[seconds] > AT_LEAST]


def table(rows) -> Iterator[str]:
    """Yield the lines of the table."""
    yield f"{'calls for 3 s of waiting':<32}{'worlds':>8}{'median':>8}{'worst':>8}  which is the worst"
    for kind in dict.fromkeys(row["kind"] for row in rows):
        yield from _line(kind, ratios([row for row in rows if row["kind"] == kind]))
    yield from _line("all", ratios(rows), MEDIAN)
    yield from _line("all, after zero", ratios(rows, "watched_calls", "watched"), MEDIAN)
    yield from _line("while nothing is placed", ratios(rows, "unplaced_calls", "unplaced"), UNPLACED)
    for row in rows:
        if row["waited"] > 9 * 3600:
            over = " OVER" if row["calls"] > TEN_HOURS else ""
            yield f"ten hours: {row['calls']} calls, limit {TEN_HOURS}{over}: {row['world']}"
    cpu = [row["cpu"] for row in rows]
    yield f"CPU of the program: {statistics.median(cpu):.2f} s at the median, {max(cpu):.2f} s at the worst"


def _line(name, values, limit=None):
    if not values:
        return
    median, (worst, world) = statistics.median(value for value, _ in values), max(values)
    told = "" if limit is None else f" (limit {limit:g} at the median{', OVER' if median > limit else ''})"
    yield f"{name:<32}{len(values):>8}{median:>8.2f}{worst:>8.2f}  {world}{told}"


def main():
    """Measure or read, and print."""
    if "--report" in sys.argv:
        text = Path(sys.argv[sys.argv.index("--report") + 1]).read_text(encoding="utf-8")
        rows = [json.loads(line) for line in text.splitlines()]
    else:
        with ProcessPoolExecutor(2) as pool:
            rows = list(pool.map(measured, load()))
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
