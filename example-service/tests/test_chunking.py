"""How a document is cut so that a model reads all of each piece, and how progress is shown."""

from __future__ import annotations

import hashlib
import io

import pytest

from rag_service.ingest.chunking import Chunk, chunks_of, pieces_of
from rag_service.ingest.extraction import Extracted, Section
from rag_service.ingest.progress import Progress


class Words:
    """A model that reads so many words."""

    def __init__(self, window: int) -> None:
        self.window = window

    def count(self, text: str) -> int:
        return len(text.split())


def cut(
    *sections: tuple[str, str], characters: int = 1000, window: int = 10, markdown: bool = False
) -> list[Chunk]:
    document = Extracted(
        title="T", sections=tuple(Section(heading=h, text=t) for h, t in sections), markdown=markdown
    )
    return chunks_of(document, characters=characters, overlap=0, measure=Words(window))


def test_a_piece_fits_the_window_together_with_its_heading() -> None:
    text = " ".join(f"w{number}" for number in range(20))  # of fewer characters than a piece may have
    assert [len(chunk.text.split()) for chunk in cut(("", text))] == [10, 10]
    assert [len(chunk.text.split()) for chunk in cut(("one two three", text))] == [7, 7, 6]
    assert {chunk.section for chunk in cut(("one two three", text))} == {"one two three"}
    assert " ".join(chunk.text for chunk in cut(("one two three", text))) == text


def test_characters_are_a_limit_of_their_own() -> None:
    pieces = cut(("", "abcd " * 40), characters=50, window=1000)
    assert max(len(chunk.text) for chunk in pieces) <= 50
    assert len(pieces) == 4


@pytest.mark.parametrize(
    ("heading", "window", "kept"),
    [
        ("a b c d e", 10, "a b c d e"),
        ("aa bb cc dd ee ff", 10, "aa bb cc dd"),
        ("aa bb cc dd ee", 9, "aa bb cc d"),
        ("aaaa bbbb cccc dddd", 6, "aaaa bbbb cccc"),
        ("a b", 1, ""),
    ],
)
def test_a_heading_takes_no_more_than_half_of_the_window(heading: str, window: int, kept: str) -> None:
    [chunk, *_] = cut((heading, "text"), window=window)
    assert chunk.section == kept


def test_markdown_is_cut_at_its_blocks_and_other_text_is_not() -> None:
    text = "one two three four\n\n```\nfive six\n\nseven eight\n```\n\nnine ten"
    whole = "```\nfive six\n\nseven eight\n```"
    assert any(whole in chunk.text for chunk in cut(("", text), window=7, markdown=True))
    assert not any(whole in chunk.text for chunk in cut(("", text), window=5, markdown=False))
    as_text = pieces_of(text, capacity=35, overlap=0)
    assert as_text != pieces_of(text, capacity=35, overlap=0, markdown=True)
    assert as_text == pieces_of(text, capacity=35, overlap=0, markdown=False)


def test_a_chunk_is_known_by_what_is_embedded() -> None:
    [chunk] = cut(("Top", "text"))
    assert (chunk.section, chunk.position, chunk.text, chunk.embedded) == ("Top", 0, "text", "Top\ntext")
    assert chunk.text_hash == hashlib.sha256(b"Top\ntext").hexdigest()
    assert len(Chunk(section="", position=0, text="\ud800").text_hash) == 64, "what no encoding has"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_a_line_now_and_then() -> None:
    now = 100.0
    log = io.StringIO()
    progress = Progress(log, 10, clock=lambda: now)
    for moment, done in ((114.9, 1), (115.0, 2), (129.9, 3), (130.0, 4)):
        now = moment
        progress.update(done, done * 3)
    now = 131.6
    progress.finish(12, 36)
    assert log.getvalue().splitlines() == [
        "INFO: 2/10 documents, 6 passages, 15 s",
        "INFO: 4/10 documents, 12 passages, 30 s",
        "INFO: 12/12 documents, 36 passages, 32 s",
    ]


def test_a_terminal_gets_a_bar() -> None:
    out = Terminal()
    progress = Progress(out, 4, clock=lambda: 0.0)
    progress.update(1, 3)
    progress.finish(4, 12)
    assert out.getvalue() == (
        f"\r{'█' * 8}{'·' * 22} 1/4 documents, 3 passages\x1b[K"
        f"\r{'█' * 30} 4/4 documents, 12 passages\x1b[K\n"
    )
    nothing = Terminal()
    Progress(nothing, 0).update(0, 0)
    assert nothing.getvalue() == f"\r{'·' * 30} 0/0 documents, 0 passages\x1b[K"
