"""Code and documents cite only what a reader has: pages of this repository, AWS pages, public issues."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FACTS = "docs/aws-facts.md"
# Verbatim messages and locks of others are no citations of ours.
NOT_OURS = re.compile(r"^tests/data/|package-lock\.json$|/?locks/|^LICENSE$|^tests/unit/test_citations\.py$")
PAPERS = re.compile(
    r"\bDESIGN\b"  # a design document
    r"|\b[Ii]ssues? \d+\b"  # an issue without its address
    r"|aws-facts(?!\\?\.md)"  # notes: the page has its ending
    r"|\b[Ss]ection [A-Z]?\d|\b[Pp]art [A-Z]\b"
    r"|\.\./shared\b"
)
# A page's sections are cited as `docs/aws-facts.md#id`, further ones of the same sentence as ` #id`.
CITED = re.compile(r"aws-facts\.md((?:(?:,|,?\s+and|\s*\()?[\s#*]*#[a-z][a-z0-9-]*)+)")


@cache
def _tracked() -> list[str]:
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [name for name in names if (ROOT / name).is_file()]


def _files() -> list[str]:
    return [name for name in _tracked() if not NOT_OURS.search(name)]


def _texts() -> dict[str, str]:
    found = {}
    for name in _files():
        try:
            found[name] = (ROOT / name).read_text("utf-8")
        except UnicodeDecodeError:
            continue
    return found


def _anchor(heading: str) -> str:
    """GitHub's anchor of a heading: lower case, spaces to hyphens, other signs dropped."""
    return re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")


def _anchors() -> list[str]:
    return [
        _anchor(line.lstrip("# "))
        for line in (ROOT / FACTS).read_text("utf-8").splitlines()
        if line[:1] == "#"
    ]


def test_nothing_cites_papers_that_a_reader_does_not_have() -> None:
    found = [
        f"{name}:{number}: {line.strip()}"
        for name, text in _texts().items()
        for number, line in enumerate(text.splitlines(), 1)
        if PAPERS.search(line)
    ]
    assert found == []


def test_each_cited_section_of_the_facts_exists() -> None:
    known = set(_anchors())
    cited = {
        (name, anchor)
        for name, text in _texts().items()
        for sections in CITED.findall(text)
        for anchor in re.findall(r"#([a-z][a-z0-9-]*)", sections)
    }
    assert len(cited) > 40
    assert sorted((name, anchor) for name, anchor in cited if anchor not in known) == []


def test_sections_of_the_facts_have_anchors_of_their_own() -> None:
    anchors = _anchors()
    assert sorted(anchors) == sorted(set(anchors))


DOCUMENT = re.compile(r"(?<![\w.\\])[A-Za-z0-9_][A-Za-z0-9_-]*\.(?:md|txt)\b")
WRITTEN = {"queries.txt", "summary.md", "survivors.txt"}
"""Files that a run writes."""


def unknown_documents(text: str) -> set[str]:
    """Return the documents that *text* names and the repository has not."""
    here = {Path(name).name for name in _tracked()}
    return {name for name in DOCUMENT.findall(text) if name not in here | WRITTEN}


def test_each_document_that_is_named_is_here() -> None:
    texts = {name: text for name, text in _texts().items() if "tests/" not in name}
    assert {name: found for name, text in texts.items() if (found := unknown_documents(text))} == {}


def test_a_document_that_is_not_here_is_found() -> None:
    assert unknown_documents("as house-moves.txt and docs/aws-facts.md say, not x-summary.md") == {
        "house-moves.txt",
        "x-summary.md",
    }


@pytest.mark.parametrize(
    ("line", "is_paper"),
    [
        ("as DESIGN 3 says", True),
        ("(issue 3, point 2)", True),
        ("Issue 5, point 1.", True),
        ("aws-facts A1", True),
        ("aws-facts C; botocore's", True),
        ("section A4", True),
        ("DESIGN, section 3", True),
        ("see section 3", True),
        ("aws-facts, part B", True),
        ("docs/aws-facts.md#circuit-breaker", False),
        ("https://github.com/aws/containers-roadmap/issues/1206", False),
    ],
    ids=str,
)
def test_a_paper_is_told_from_a_page(line: str, is_paper: bool) -> None:
    assert bool(PAPERS.search(line)) is is_paper
