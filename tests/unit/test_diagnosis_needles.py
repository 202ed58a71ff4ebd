"""A pattern of the table is only tried where one of its words stands, and that never hides a match."""

import re
from pathlib import Path

import pytest
import yaml

from ecs_gpu_deploy.core.diagnose.needles import needles
from ecs_gpu_deploy.core.diagnose.table import as_matched, matches, patterns

DATA = Path(__file__).parents[1] / "data"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
EVERY = 5
"""Each pattern is tried on every fifth message, to keep the suite quick."""
TEXTS = [
    as_matched(message["text"])
    for path in (DATA / "messages.yml", *sorted((DATA / "draws").glob("*.yml")))
    for message in yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("no space left on device", {"no space left on device"}),
        (r"resource:\s?gpu", {"resource:"}),
        ("(unable|fail)ed to", {"ed to"}),
        ("(unable|failed|could not)?", set()),
        ("disk full|no space", {"disk full", "no space"}),
        ("disk full|[0-9]{3}", set()),
        (r"(?<!no )error(s|es)?\b", {"error"}),
        (r"exit(ed|ing) \(?status", {"status"}),
        ("tries{0,3} left", {" left"}),
        (r"x\.y{2}z", {"x.y"}),
        (r"fs-[\w-]{1,30}\.efs\.", {".efs."}),
    ],
)
def test_the_words_of_a_pattern(pattern: str, words: set[str]) -> None:
    assert needles(pattern) == words


def test_each_pattern_that_matches_a_real_message_has_one_of_its_words_there() -> None:
    hidden = []
    for text in TEXTS[::EVERY]:
        tried = {id(pattern) for pattern, _ in matches(text, patterns())}
        hidden += [
            (pattern.regex.pattern, text)
            for pattern in patterns()
            if id(pattern) not in tried and pattern.regex.search(text)
        ]
    assert hidden == []


def test_almost_every_pattern_has_words() -> None:
    without = [pattern for pattern in patterns() if not pattern.needles]
    assert len(without) <= 0.02 * len(patterns()), [pattern.regex.pattern for pattern in without]


def test_a_pattern_is_written_so_that_its_words_can_be_read() -> None:
    unread = re.compile(r"(?<!\\)\(\?[^:=!<]|\(\?<[^=!]|\\[xuNAZ]")
    assert [pattern.regex.pattern for pattern in patterns() if unread.search(pattern.regex.pattern)] == []
