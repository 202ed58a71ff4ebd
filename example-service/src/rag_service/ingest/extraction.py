"""Turn the bytes of a document into text by sections; documents are foreign and nothing in them is run.

Each format is read by a library that is kept for it: pypdf, mammoth (DOCX), lxml (HTML) and
markdown-it (CommonMark). They are imported when the first such document comes.
"""

from __future__ import annotations

import codecs
import io
import logging
import re
import zipfile
from dataclasses import dataclass
from itertools import pairwise

MOST_XML, MOST_TAGS = 16 * 1024 * 1024, 1_000_000
"""What a DOCX may unpack to, and the tags of a document: about 0.5 GB of memory, a book of 1,000 pages."""
_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figcaption", "figure"}
    | {"footer", "form", "header", "hr", "li", "main", "ol", "p", "pre", "section"}
    | {"table", "td", "th", "tr", "ul"}
)
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_SILENT = ("head", "script", "style", "template", "noscript", "svg", "nav", "iframe", "object")


class ExtractionFailed(Exception):
    """Say why a document has no text that could be indexed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Hold the text under one heading; `heading` is the path of headings, or the page of a PDF."""

    heading: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """Hold a document's title and sections; both may be empty. `markdown`: how the text is written."""

    title: str
    sections: tuple[Section, ...]
    markdown: bool = False


def extract(name: str, content: bytes) -> Extracted:
    """Extract by the suffix of the name. Raises ExtractionFailed."""
    lower = name.lower()
    if lower.endswith(".pdf"):
        return _from_pdf(name, content)
    if lower.endswith(".docx"):
        return _from_docx(name, content)
    text = _decoded(content)
    if lower.endswith((".html", ".htm")):
        return _from_html(name, text)
    if lower.endswith((".md", ".markdown")):
        return _from_markdown(name, text)
    return Extracted(title=_stem(name), sections=(Section(heading="", text=text),) if text.strip() else ())


def _decoded(content: bytes) -> str:
    marks = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
    encoding = next((marks[mark] for mark in marks if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ExtractionFailed(
            f"It is not {encoding.upper()} (byte {error.start}): save it as UTF-8."
        ) from error
    if "\0" in text:
        raise ExtractionFailed("It holds binary data.")
    return text


def _stem(name: str) -> str:
    return name.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def _from_markdown(name: str, text: str) -> Extracted:
    from markdown_it import MarkdownIt

    lines = text.splitlines()
    # Blocks alone are parsed: where headings stand, and which # is one. What is in a line stays as written.
    tokens = MarkdownIt("commonmark").disable("inline").parse("\n".join(lines))
    sections = _Sections()
    written = 0
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open" and opening.level == 0 and opening.map is not None:
            sections.add("\n".join(lines[written : opening.map[0]]).strip())
            sections.begin(int(opening.tag[1]), inline.content)
            written = opening.map[1]
    sections.add("\n".join(lines[written:]).strip())
    return Extracted(title=sections.first or _stem(name), sections=tuple(sections.made), markdown=True)


class _Sections:
    """Gather text below the path of headings that it stands under."""

    def __init__(self) -> None:
        self.made: list[Section] = []
        self.first = ""
        self._path: list[str] = []

    def begin(self, depth: int, heading: str) -> None:
        heading = " ".join(heading.split())
        self.first = self.first or heading
        self._path = [*self._path[: depth - 1], *[""] * (depth - 1 - len(self._path)), heading]

    def add(self, text: str) -> None:
        if text:
            self.made.append(Section(heading=" › ".join(part for part in self._path if part), text=text))


def _from_html(name: str, text: str) -> Extracted:
    from lxml import etree

    if text.count("<") > MOST_TAGS:
        raise ExtractionFailed(f"The HTML has over {MOST_TAGS} tags.")
    # The text is decoded already, whatever its <meta> says. Nothing is fetched; a tree ends at 256 levels.
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    root = etree.fromstring(text.encode("utf-8", "replace"), parser) if text.strip() else None
    if any(error.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT for error in parser.error_log):
        raise ExtractionFailed("The HTML is nested too deep.")
    if root is None:
        return Extracted(title=_stem(name), sections=())
    title = " ".join("".join(root.xpath("//title[1]//text()")).split())
    etree.strip_elements(root, *_SILENT, with_tail=False)
    sections = _Sections()
    pieces: list[str] = []

    def finish() -> None:
        lines = (" ".join(line.split()) for line in "".join(pieces).split("\n"))
        sections.add("\n".join(line for line in lines if line))
        pieces.clear()

    for event, node in etree.iterwalk(root, events=("start", "end")):
        starts = event == "start"
        if node.tag in _HEADINGS and starts:
            finish()
        elif node.tag in _HEADINGS:
            # Up to its end a heading's text is no section's.
            sections.begin(int(node.tag[1]), "".join(pieces))
            pieces.clear()
        elif node.tag in _BLOCKS:
            pieces.append("\n")
        # A line break in the source is a space; only blocks begin a line.
        pieces.append(" ".join(re.split(r"\s+", (node.text if starts else node.tail) or "")))
    finish()
    return Extracted(title=title or sections.first or _stem(name), sections=tuple(sections.made))


def _from_docx(name: str, content: bytes) -> Extracted:
    try:
        html = _html_of(_xml_of(content))
    except ExtractionFailed:
        raise
    except Exception as error:  # a broken archive or XML raises nearly anything
        raise ExtractionFailed(f"The DOCX cannot be read: {type(error).__name__}: {error}") from error
    return _from_html(name, html)


def _xml_of(content: bytes) -> io.BytesIO:
    """Copy what is XML in a DOCX, unpacked. Raises ExtractionFailed before much of a bomb is unpacked."""
    copied = io.BytesIO()
    size = tags = 0
    with zipfile.ZipFile(io.BytesIO(content)) as parts, zipfile.ZipFile(copied, "w") as xml:
        for part in parts.infolist():
            if not part.filename.endswith((".xml", ".rels")):
                continue
            # zipfile reads no more of a part than its directory says that it has.
            size += part.file_size
            text = parts.read(part) if size <= MOST_XML else b""
            tags += text.count(b"<")
            if size > MOST_XML or tags > MOST_TAGS:
                raise ExtractionFailed(
                    f"The DOCX unpacks to over {MOST_XML} bytes or {MOST_TAGS} tags of XML."
                )
            xml.writestr(part.filename, text)
    return copied


def _html_of(docx: io.BytesIO) -> str:
    """Write a DOCX as HTML, headings, lists and tables by Word's own styles; no file from outside is read."""
    import mammoth

    return str(
        mammoth.convert_to_html(
            docx,
            style_map="p[style-name='Title'] => h1:fresh",
            include_embedded_style_map=False,
            external_file_access=False,
            convert_image=mammoth.images.img_element(lambda _image: {}),
        ).value
    )


def _from_pdf(name: str, content: bytes) -> Extracted:
    import pypdf

    # pypdf logs every flaw that it repairs; only what it cannot repair matters here.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = pypdf.PdfReader(io.BytesIO(content))
        locked = reader.is_encrypted and not reader.decrypt("")
        pages = [] if locked else [page.extract_text() for page in reader.pages]
        title = "" if locked else str((reader.metadata and reader.metadata.title) or "").strip()
    except Exception as error:  # a broken PDF raises nearly anything: KeyError, RecursionError, zlib.error …
        raise ExtractionFailed(f"The PDF cannot be read: {type(error).__name__}: {error}") from error
    if locked:
        raise ExtractionFailed("The PDF is encrypted: store it without a password.")
    if pages and not any(text.strip() for text in pages):
        raise ExtractionFailed("The PDF has no text on any page: run OCR over a scan first.")
    sections = tuple(
        Section(heading=f"page {number}", text=text)
        for number, text in enumerate(pages, start=1)
        if text.strip()
    )
    return Extracted(title=title or _stem(name), sections=sections)
