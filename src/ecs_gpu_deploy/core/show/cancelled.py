"""What is said of a job that was cancelled while nothing was waited for: only what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_BEFORE: Final = {
    "deploy": " before the service was updated",
    "rollback": " before the service was updated",
    "run-task": " before a task was started",
    "continue": " before the hook was answered",
    "reject": " before the hook was answered",
}


def cancelled_reason(command: str, changes: Sequence[str]) -> str:
    """Return the sentence; *changes* are half sentences on what we changed in AWS, or may have."""
    return f"The job was cancelled{_BEFORE.get(command, '')}: {'; '.join(changes) or 'nothing was changed'}."
