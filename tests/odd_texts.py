"""Texts that nobody means, for any option, file or variable."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

WORDS = st.sampled_from(
    [
        *(
            "\x00",
            "null",
            "[]",
            "{}",
            "[1]",
            '{"a": 1}',
            "[" * 5000,
            "{a: [b",
            "a=b",
            "=",
            "=b",
            "a",
            "a: b",
            "- a",
        ),
        *(
            "${VAR}",
            "<ROLE>",
            "arn:aws:iam::123456789012:role/x",
            "arn:",
            "1e400",
            "-1",
            "0",
            "٣",
            "½",
            "NaN",
        ),
        *(
            "x" * 300,
            "\ud800",
            "\u202e",
            "a\nb=c",
            "é",
            "yes",
            "1h30m",
            "99999999999h",
            "ALL",
            "0.25",
            "!!python/x",
        ),
        *("&a [*a]", "/dev/null", "/", "\\", "%", "'", '"', "a" * 70_000, "[[", "{}=", "4 vCPU"),
    ]
)
TEXTS = st.one_of(WORDS, st.text(max_size=40), st.lists(WORDS, max_size=3).map("\n".join))
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def fuzzed(examples: int) -> settings:
    """Return settings with which the same examples come each time."""
    return settings(
        max_examples=examples, deadline=None, suppress_health_check=SLOW, derandomize=True, database=None
    )
