"""What log, summary and result say of one duration must be one figure; here is where they differ."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

_PHASES = ("placement", "pull", "start", "load", "traffic", "drain", "run")
_SPAN = r"(?:\d+h)?(?:\d+m)?(?:\d+s)?"
_STAY = re.compile(rf"^    ({'|'.join(_PHASES)}) ({_SPAN}) :(?:crit, )?(\d+), (\d+)$", re.MULTILINE)
_BAR = re.compile(rf"^    ([0-9a-f]+) failed after ({_SPAN}) :", re.MULTILINE)
_FAILED = re.compile(rf"tasks? ([0-9a-f, ]+?)(?: and \d+ more)? failed after ({_SPAN})(?: to ({_SPAN}))?:")
_ENDED = re.compile(rf"task ([0-9a-f]{{8}}) (?:succeeded|failed) after ({_SPAN})")
_LOOK = re.compile(rf"^ *{_SPAN}  ((?:(?:{'|'.join(_PHASES)}) {_SPAN}[^·\n]*· )+)new ", re.MULTILINE)
_MOST_STAYS = 16


def seconds_of(text: str) -> float:
    """Return the seconds of a span as the program writes it: `1h05m`, `1m06s`, `41s`."""
    units = {"h": 3600, "m": 60, "s": 1}
    return float(sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([hms])", text)))


def differences(shown: str, summary: str, result: Mapping[str, Any]) -> list[str]:
    """Return every duration that two of the three outputs tell differently: *shown* is the log."""
    return [
        f"{what}: {one:g} s and {other:g} s"
        for what, one, other, blur in _pairs(shown, summary, result)
        if abs(one - other) > blur
    ]


def _pairs(shown: str, summary: str, result: Mapping[str, Any]) -> Iterator[tuple[str, float, float, float]]:
    """Give what is named twice: what it is, both figures, and by how much rounding may part them."""
    phases = {phase["name"]: phase["seconds"] for phase in result["phases"]}
    told = re.search(r"^phases: (.*)$", shown, re.MULTILINE)
    for name, text in re.findall(rf"(\w+) ({_SPAN})", told.group(1) if told else ""):
        yield f"{name} in the log's end", seconds_of(text), phases[name], _blur(phases[name])
    stays: dict[str, list[float]] = defaultdict(list)
    for name, text, began, ended in _STAY.findall(summary):
        bar = (int(ended) - int(began)) / 1000
        yield f"a stay in {name}, bar and word", bar, seconds_of(text), _blur(bar)
        stays[name].append(bar)
    if sum(map(len, stays.values())) < _MOST_STAYS:
        for name, bars in stays.items():
            yield f"{name} in the summary", sum(bars), phases[name], len(bars) + 0.5
    ran = {number: seconds_of(text) for number, text in _BAR.findall(summary)}
    for ids, shortest, longest in _FAILED.findall(shown):
        for number in set(ids.split(", ")) & ran.keys():
            least, most = seconds_of(shortest), seconds_of(longest or shortest)
            yield f"task {number}", ran[number], min(max(ran[number], least), most), 0.0
    times = {end["task_arn"].rpartition("/")[2][:8]: end for end in result["tasks"]}
    for number, text in _ENDED.findall(shown):
        if (end := times.get(number)) and end["started_at"] and end["stopped_at"]:
            lasted = end["stopped_at"] - end["started_at"]
            yield f"batch task {number}", seconds_of(text), lasted, _blur(lasted)
    if looks := [] if result["services"] else _LOOK.findall(shown):
        *over, now = re.findall(rf"({'|'.join(_PHASES)}) ({_SPAN})", looks[-1])
        for name, text in over:
            yield f"{name} in the log's last look", seconds_of(text), phases[name], _blur(phases[name])
        last = seconds_of(now[1])
        yield f"{now[0]} in the log's last look", last, min(last, phases[now[0]] + 1), _blur(last)
    if took := re.search(rf"(?:^T| · t)ook ({_SPAN})(?: ·|$)", summary, re.MULTILINE):
        lasted = result["duration_seconds"]
        yield "the whole run", seconds_of(took.group(1)), lasted, _blur(lasted)


def _blur(seconds: float) -> float:
    """Return by how much the way a span is written may differ from it."""
    return 60.0 if seconds >= 3600 else 0.51
