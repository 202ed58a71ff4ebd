"""What was foreseen of a rollout beside what came: a line of the log, a table of the summary, a warning."""

from __future__ import annotations

from ecs_gpu_deploy.core.text import span
from ecs_gpu_deploy.result import Compared, ComparedValue, Finding, Severity

_DID = {
    "succeeds": "succeeded",
    "rolls back": "was rolled back",
    "fails": "failed",
    "stands still": "stood still",
}


def compared_line(compared: Compared) -> str:
    """Return it in one line: `succeeds → succeeds · duration 4m11s → 4m02s · drain until 4m → not seen`."""
    values = [f"{_name(each)} {_told(each)} → {_seen(each)}" for each in compared.values]
    return " · ".join([f"{compared.ends} → {compared.ended}", *values])


def compared_markdown(compared: Compared) -> str:
    """Return it as a table, with a sentence on the interval where one was told."""
    rows = ["| | Predicted | Seen |", "|:--|--:|--:|", f"| ends | {compared.ends} | {compared.ended} |"]
    rows += [f"| {_name(each)} | {_told(each)} | {_seen(each)} |" for each in compared.values]
    told = {
        True: "It lasted as long as earlier rollouts let expect.",
        False: "It lay outside of the interval that earlier rollouts let expect.",
        None: "",
    }[compared.within_interval]
    return "\n".join(rows) + (f"\n\n{told}" if told else "")


def ended_otherwise(compared: Compared) -> Finding | None:
    """Return the warning over a rollout that ended otherwise than foreseen; None where none did."""
    if compared.as_foreseen is not False:
        return None
    whole = compared.values[0]
    within = f" within {span(whole.predicted or 0.0)}" if compared.ends == "succeeds" else ""
    after = "" if whole.actual is None else f" after {span(whole.actual)}"
    return Finding(
        code="ended-otherwise",
        severity=Severity.WARNING,
        message=f"Foreseen was that the rollout {compared.ends}{within}; it {_DID[compared.ended]}{after}.",
        hint="What a new image does otherwise than the one before, and what others do meanwhile, is not "
        "foreseen.",
    )


def _name(value: ComparedValue) -> str:
    """Name it: of a phase it is the second of its end that is compared, not how long it took."""
    names = {"gpu-minutes": "GPU-minutes", "duration": "duration", "breaker": "breaker"}
    return names.get(value.name) or f"{value.name} until"


def _told(value: ComparedValue) -> str:
    return _written(value, value.predicted)


def _seen(value: ComparedValue) -> str:
    return _written(value, value.actual) if value.seen else "not seen"


def _written(value: ComparedValue, number: float | None) -> str:
    if number is None:
        return "never"
    return f"{number:.1f}" if value.name == "gpu-minutes" else span(number)
