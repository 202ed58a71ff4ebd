"""Turn the bytes of a document into text by sections; documents are foreign and nothing in them is run."""

from __future__ import annotations

import codecs
import io
import logging
import re
from dataclasses import dataclass
from html.parser import HTMLParser

_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*\s*$")
_FENCE = re.compile(r"^\s*(```|~~~)")
_BLOCK = re.compile(
    "address|article|aside|blockquote|br|dd|div|dl|dt|figcaption|figure|footer|form|header|hr|li|main|ol|p|pre"
    "|section|table|td|th|tr|ul"
)
_SILENT = frozenset({"script", "style", "template", "noscript", "svg", "nav", "iframe", "object"})


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
    path: list[str] = []
    sections: list[Section] = []
    lines: list[str] = []
    in_code = False

    def finish() -> None:
        if body := "\n".join(lines).strip():
            sections.append(Section(heading=" › ".join(part for part in path if part), text=body))
        lines.clear()

    for line in text.splitlines():
        if _FENCE.match(line):
            in_code = not in_code
        heading = None if in_code else _HEADING.match(line)
        if heading is None:
            lines.append(line)
            continue
        finish()
        depth = len(heading[1])
        path = [*path[: depth - 1], *[""] * (depth - 1 - len(path)), heading[2]]
    finish()
    title = next((section.heading.split(" › ")[0] for section in sections if section.heading), _stem(name))
    return Extracted(title=title, sections=tuple(sections), markdown=True)


class _Html(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title = ""
        self.sections: list[Section] = []
        self._heading = ""
        self._pieces: list[str] = []
        self._silent: list[str] = []
        self._collects: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag in _SILENT:
            self._silent.append(tag)
        elif tag == "title" or re.fullmatch(r"h[1-6]", tag):
            if tag != "title":
                self.finish()
            self._collects = []
        elif _BLOCK.fullmatch(tag):
            self._pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._silent:
            # An unclosed inner tag must not swallow the rest of the document.
            del self._silent[self._silent.index(tag) :]
        elif self._collects is not None and (tag == "title" or re.fullmatch(r"h[1-6]", tag)):
            text = " ".join("".join(self._collects).split())
            if tag == "title":
                self.title = text
            else:
                self._heading = text
            self._collects = None
        elif _BLOCK.fullmatch(tag):
            self._pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        (self._pieces if self._collects is None else self._collects).append(data)

    def finish(self) -> None:
        lines = (" ".join(line.split()) for line in "".join(self._pieces).split("\n"))
        if text := "\n".join(line for line in lines if line):
            self.sections.append(Section(heading=self._heading, text=text))
        self._pieces.clear()


def _from_html(name: str, text: str) -> Extracted:
    parser = _Html()
    try:
        parser.feed(text)
        parser.close()
    except AssertionError as error:  # what html.parser raises for a malformed declaration
        raise ExtractionFailed(f"Its HTML cannot be read: {error}") from error
    parser.finish()
    return Extracted(title=parser.title or _stem(name), sections=tuple(parser.sections))


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
