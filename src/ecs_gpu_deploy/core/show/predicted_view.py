"""The record of predictions: each past rollout with what was foreseen and came, and how good that is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from ecs_gpu_deploy.core.text import count, markdown, plain, span, table_code
from ecs_gpu_deploy.model import short_id
from ecs_gpu_deploy.result import PastDeployment, PastPrediction, TrackRecord

_HEADS: Final = ("Revision", "When (UTC)", "Predicted", "Actual", "Error", "Within", "Ended")


def predicted_table(rows: Sequence[PastDeployment], record: TrackRecord) -> str:
    """Return the rows for a terminal or a log, a line each, in columns, and the record below them."""
    cells = [_HEADS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEADS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)
    return "\n".join([*(line.rstrip() for line in lines), record_sentence(record)])


def predicted_markdown(rows: Sequence[PastDeployment], record: TrackRecord) -> str:
    """Return the rows as a Markdown table, and the record below it."""
    lines = [f"| {' | '.join(_HEADS)} |", "|" + "---|" * len(_HEADS)]
    for row in rows:
        revision, *rest = _cells(row)
        lines.append(f"| {' | '.join([table_code(revision), *(markdown(cell) for cell in rest)])} |")
    return "\n".join([*lines, "", record_sentence(record)])


def record_sentence(record: TrackRecord) -> str:
    """Return how good the predictions were, in a sentence."""
    if not record.rollouts:
        return "Nothing was foreseen of the deployments shown here."
    error = "" if record.error is None else f", median error {record.error:.0%}"
    within = f", {record.within} of {record.told} within the interval told" if record.told else ""
    ended = f"{record.as_foreseen} ended as foreseen"
    return f"{count(record.rollouts, 'deployment')} foreseen: {ended}{error}{within}."


def _cells(row: PastDeployment) -> tuple[str, ...]:
    at = f"{datetime.fromtimestamp(row.created_at, UTC):%Y-%m-%d %H:%M}" if row.created_at else ""
    name = plain(short_id(row.task_definition_arn))
    told = row.predicted
    if told is None:
        lasted = "" if row.seconds is None else span(row.seconds)
        return (name, at, "not foreseen", lasted, "", "", row.outcome)
    within = {True: "yes", False: "no", None: ""}[told.within_interval]
    ended = told.ended if told.ends == told.ended else f"{told.ended} (foreseen: {told.ends})"
    lasts = "never" if told.ends == "stands still" else span(told.seconds)
    return (name, at, lasts, span(told.actual_seconds), _error(told), within, ended)


def _error(told: PastPrediction) -> str:
    """Return by how much it lasted longer than foreseen, "" where it ended otherwise."""
    if told.ends != told.ended or told.ends != "succeeds" or told.seconds <= 0:
        return ""
    return f"{told.actual_seconds / told.seconds - 1:+.0%}"
