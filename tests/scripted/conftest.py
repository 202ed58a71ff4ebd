"""One line at the end of a run: how many worlds there were, and how many are told right."""

from __future__ import annotations

from typing import Any

import pytest

WORLD = "::test_the_program_tells_the_truth_about["


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print worlds, right, known wrong, and what is neither."""
    counted = {
        outcome: sum(
            isinstance(report, pytest.TestReport) and report.when == "call" and WORLD in report.nodeid
            for report in terminalreporter.stats.get(outcome, ())
        )
        for outcome in ("passed", "xfailed", "failed")
    }
    if worlds := sum(counted.values()):
        terminalreporter.write_line(
            f"scripted worlds: {worlds}, right {counted['passed']}, known wrong {counted['xfailed']}, "
            f"not as known.yml says {counted['failed']}"
        )
