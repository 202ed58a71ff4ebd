"""What becomes of a document's bytes, and where they are cut."""

from __future__ import annotations

import io
from itertools import pairwise

import pypdf
import pytest

from docx_document import archive, docx
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
    "a # in an indented block is none, and an underlined line is one": (
        "a.md",
        b"    # no\n\nTop\n===\none\n",
        "Top",
        (("", "# no"), ("Top", "one")),
    ),
    "HTML has a path of headings too": (
        "a.html",
        b"<h1>Top</h1><div>one</div>two<h2>Deep <i>er</i></h2><ul><li>a<li>b</ul><h1>Next</h1>three",
        "Top",
        (("Top", "one\ntwo"), ("Top › Deep er", "a\nb"), ("Next", "three")),
    ),
    "DOCX by Word's styles, its tables in their place": (
        "a.docx",
        docx(
            ("Title", "Guide"), ("", "first"), [["a", "b"], ["c", "d"]], ("Heading2", "More"), ("", "<last>")
        ),
        "Guide",
        (("Guide", "first\na\nb\nc\nd"), ("Guide › More", "<last>")),
    ),
    "HTML of lines is one line, and its breaks are two": (
        "a.html",
        "<p>grüße\n  aus <!-- no --> Köln<br>&#8364; 5".encode(),
        "a",
        (("", "grüße aus Köln\n€ 5"),),
    ),
    "HTML of nothing is nothing": ("a.html", b" \n", "a", ()),
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
    "HTML by its short name": ("a.b.HTM", b"<p>one", "a.b", (("", "one"),)),
    "Markdown by its long name": ("x/y/a.MARKDOWN", b"##### Deep\none", "Deep", (("Deep", "one"),)),
    "Markdown without a heading": ("x/a.md", b"one", "a", (("", "one"),)),
    "UTF-16 the other way round": ("a.txt", b"\xfe\xff\x00a", "a", (("", "a"),)),
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
    "no archive called DOCX": ("a.docx", b"PK nonsense", "The DOCX cannot be read: BadZipFile"),
    "an archive that is no DOCX": ("a.docx", archive({"a.xml": "<a/>"}), "The DOCX cannot be read"),
    "a DOCX cut in half": ("a.docx", docx(("", "one"))[:300], "The DOCX cannot be read"),
    "a DOCX whose XML is deep": (
        "a.docx",
        archive({"word/document.xml": "<a>" * 50_000 + "</a>" * 50_000}),
        "The DOCX cannot be read: RecursionError",
    ),
    "Latin-1": ("a.txt", b"gr\xfc\xdfe", "It is not UTF-8 (byte 2)"),
    "binary data called text": ("a.txt", b"a\x00b", "binary"),
}


@pytest.mark.parametrize(("name", "content", "words"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_read_says_so(name: str, content: bytes, words: str) -> None:
    with pytest.raises(ExtractionFailed) as failure:
        extract(name, content)
    assert words in str(failure.value)


def written(*, title: str = "", password: str | None = None) -> bytes:
    """One page that says "hello", with a title, locked with a password (empty: nobody is asked for it)."""
    writer = pypdf.PdfWriter(io.BytesIO(pdf("hello")))
    if title:
        writer.add_metadata({"/Title": title})
    if password is not None:
        writer.encrypt(password, algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_a_pdf_has_its_own_title_and_is_read_unless_it_asks_for_a_password() -> None:
    for content, title in (
        (written(title=" Whales "), "Whales"),
        (written(), "a"),
        (written(title="Whales", password=""), "Whales"),
    ):
        extracted = extract("x/y/a.pdf", content)
        assert (extracted.title, [section.text for section in extracted.sections]) == (title, ["hello"])
    with pytest.raises(ExtractionFailed) as failure:
        extract("a.pdf", written(password="secret"))
    assert str(failure.value) == "The PDF is encrypted: store it without a password."


SENTENCES = {
    "binary data": ("a.txt", b"a\x00b", "It holds binary data."),
    "a scan": ("a.pdf", pdf("", ""), "The PDF has no text on any page: run OCR over a scan first."),
    "HTML that is deep": ("a.html", b"<div>" * 5000, "The HTML is nested too deep."),
}


@pytest.mark.parametrize(("name", "content", "said"), SENTENCES.values(), ids=SENTENCES.keys())
def test_the_reason_is_one_sentence(name: str, content: bytes, said: str) -> None:
    with pytest.raises(ExtractionFailed) as failure:
        extract(name, content)
    assert str(failure.value) == said


def test_only_markdown_is_cut_as_markdown() -> None:
    assert [extract(name, b"one").markdown for name in ("a.md", "a.txt", "a.html")] == [True, False, False]


def test_a_document_in_ten_languages_is_kept_whole() -> None:
    said = "Die Tür|La porte été|La puerta año|A porta não|Drzwi żółte|Дверь ещё|الباب مفتوح|דלת פתוחה"
    said += "|门开着|ドアが開く"
    lines = said.split("|")
    for name, content in {
        "a.txt": "\n".join(lines).encode(),
        "a.md": "\n\n".join(lines).encode(),
        "a.html": "".join(f"<p>{line}</p>" for line in lines).encode(),
        "a.docx": docx(*(("", line) for line in lines)),
    }.items():
        extracted = extract(name, content)
        chunks = chunks_of(extracted, characters=40, overlap=0, measure=TinyEmbedder("cpu"))
        read = " ".join(chunk.text for chunk in chunks)
        assert read.split() == said.replace("|", " ").split(), name


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
    assert pieces_of(text, capacity=20, overlap=0) == pieces


def test_nothing_is_lost_and_no_piece_is_too_long() -> None:
    words = [f"word{n}" for n in range(3000)]
    pieces = pieces_of(" ".join(words), capacity=300, overlap=60)
    assert {word for piece in pieces for word in piece.split()} == set(words)
    assert max(map(len, pieces)) <= 300
    for before, after in pairwise(pieces):
        assert after.split()[0] in before.split(), "a piece begins with a word of the one before"


HOSTILE_TEXTS = {
    "no place to cut": "a" * 400_000,
    "lists in lists": "\n".join("  " * depth + "- x" for depth in range(700)),
}


@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS.keys())
def test_the_work_of_cutting_grows_with_the_text_and_not_with_its_square(text: str) -> None:
    """Counted, as the splitter measures: each text at once is measured hundreds of times over."""
    measured = 0

    def size(piece: str) -> int:
        nonlocal measured
        measured += len(piece)
        return len(piece)

    pieces = pieces_of(text, capacity=900, overlap=120, size=size, markdown=True)
    assert max(map(len, pieces)) <= 900
    assert sum(piece.count("x") for piece in pieces) >= text.count("x")
    assert measured < 60 * len(text)


def test_code_and_tables_are_kept_whole_where_they_fit() -> None:
    table = "| a | b |\n|---|---|\n| one | two |"
    code = "```python\nfirst = 1\n\nsecond = 2\n```"
    text = f"Some words before it all.\n\n{table}\n\nSome words between.\n\n{code}\n\nAnd the end of it."
    pieces = pieces_of(text, capacity=60, overlap=0, markdown=True)
    assert any(table in piece for piece in pieces)
    assert any(code in piece for piece in pieces)


def test_positions_count_through_all_sections() -> None:
    document = Extracted(
        title="", sections=(Section(heading="a", text="x " * 40), Section(heading="b", text="y"))
    )
    chunks = chunks_of(document, characters=40, overlap=0, measure=TinyEmbedder("cpu"))
    assert [chunk.position for chunk in chunks] == [0, 1, 2]
    assert [chunk.section for chunk in chunks] == ["a", "a", "b"]
