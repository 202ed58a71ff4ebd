"""What becomes of a document's bytes, and where they are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest

from pdf_document import pdf
from rag_service.ingest.chunking import chunks_of, pieces_of
from rag_service.ingest.extraction import Extracted, ExtractionFailed, Section, extract
from rag_service.tiny_model import TinyEmbedder

GOOD: dict[str, tuple[str, bytes, str, tuple[tuple[str, str], ...]]] = {
    "Markdown keeps the path of headings": (
        "a.md",
        b"intro\n# Top\none\n## Deep\ntwo\n# Next\nthree",
        "Top",
        (("", "intro"), ("Top", "one"), ("Top › Deep", "two"), ("Next", "three")),
    ),
    "a # in a code block is no heading": ("a.md", b"# T\n```\n# no\n```\n", "T", (("T", "```\n# no\n```"),)),
    "HTML is its visible text": (
        "a.html",
        b"<title>T &amp; U</title><script>evil()</script><h1>Head</h1><p>one <b>two</b></p><p>three</p>",
        "T & U",
        (("Head", "one two\nthree"),),
    ),
    "an unclosed script hides no more than it must": (
        "a.html",
        b"<p>before</p><nav><script>x</nav></script></nav><p>after</p>",
        "a",
        (("", "before\nafter"),),
    ),
    "text is one section": ("dir/notes.txt", b"hello", "notes", (("", "hello"),)),
    "a byte-order mark is no text": ("a.txt", b"\xef\xbb\xbfhello", "a", (("", "hello"),)),
    "UTF-16 with its mark": ("a.txt", "grüße".encode("utf-16"), "a", (("", "grüße"),)),
    "nothing is nothing": ("a.txt", b" \n", "a", ()),
    "a PDF has a section for each page with text": (
        "a.pdf",
        pdf("first page", "", "third page"),
        "a",
        (("page 1", "first page"), ("page 3", "third page")),
    ),
}


@pytest.mark.parametrize(("name", "content", "title", "sections"), GOOD.values(), ids=GOOD.keys())
def test_text_comes_out(name: str, content: bytes, title: str, sections: tuple[tuple[str, str], ...]) -> None:
    extracted = extract(name, content)
    assert extracted.title == title
    assert tuple((section.heading, section.text) for section in extracted.sections) == sections


BAD = {
    "a broken PDF": ("a.pdf", b"%PDF-1.4 nonsense", "The PDF cannot be read"),
    "a PDF cut in half": ("a.pdf", pdf("first page")[:200], "The PDF cannot be read"),
    "an empty file called PDF": ("a.pdf", b"", "The PDF cannot be read"),
    "a scan without text": ("a.pdf", pdf("", ""), "run OCR"),
    "Latin-1": ("a.txt", b"gr\xfc\xdfe", "It is not UTF-8 (byte 2)"),
    "binary data called text": ("a.txt", b"a\x00b", "binary"),
}


@pytest.mark.parametrize(("name", "content", "words"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_read_says_so(name: str, content: bytes, words: str) -> None:
    with pytest.raises(ExtractionFailed) as failure:
        extract(name, content)
    assert words in str(failure.value)


CUTS = {
    "a short text is one piece": ("one two", ["one two"]),
    "paragraphs before lines": ("aaaa bbbb cc\n\ndd\neeee ffff", ["aaaa bbbb cc", "dd\neeee ffff"]),
    "sentences before words": ("Aaaa bbb cc. Dddd eeee fff ggg", ["Aaaa bbb cc.", "Dddd eeee fff ggg"]),
    "words before letters": ("aaaaaaaa bbbbbbbb cccccccc", ["aaaaaaaa bbbbbbbb", "cccccccc"]),
    "a word without end is cut": ("x" * 45, ["x" * 20, "x" * 20, "x" * 5]),
    "white space alone is nothing": ("  \n ", []),
}


@pytest.mark.parametrize(("text", "pieces"), CUTS.values(), ids=CUTS.keys())
def test_the_cut_is_at_the_best_seam(text: str, pieces: list[str]) -> None:
    assert pieces_of(text, characters=20, overlap=0) == pieces


def test_nothing_is_lost_and_no_piece_is_too_long() -> None:
    words = [f"word{n}" for n in range(3000)]
    pieces = pieces_of(" ".join(words), characters=300, overlap=60)
    assert {word for piece in pieces for word in piece.split()} == set(words)
    assert max(map(len, pieces)) <= 300
    for before, after in pairwise(pieces):
        assert after.split()[0] in before.split(), "a piece begins with a word of the one before"


def test_code_and_tables_are_kept_whole_where_they_fit() -> None:
    table = "| a | b |\n|---|---|\n| one | two |"
    code = "```python\nfirst = 1\n\nsecond = 2\n```"
    text = f"Some words before it all.\n\n{table}\n\nSome words between.\n\n{code}\n\nAnd the end of it."
    pieces = pieces_of(text, characters=60, overlap=0, markdown=True)
    assert any(table in piece for piece in pieces)
    assert any(code in piece for piece in pieces)


def test_positions_count_through_all_sections() -> None:
    document = Extracted(
        title="", sections=(Section(heading="a", text="x " * 40), Section(heading="b", text="y"))
    )
    chunks = chunks_of(document, characters=40, overlap=0, measure=TinyEmbedder("cpu"))
    assert [chunk.position for chunk in chunks] == [0, 1, 2]
    assert [chunk.section for chunk in chunks] == ["a", "a", "b"]
