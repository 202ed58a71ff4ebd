"""Cut sections into passages that fit an embedding model's window, at the best place that there is."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from rag_service.ingest.extraction import Extracted
from rag_service.store import embedded_text

CHUNKING = "5"
"""Part of a document's hash: raise it when the cut changes, and everything is cut again."""
STRETCH = 20_000
"""Characters that are given to the splitter at a time: its work grows with their square where a text has no
words to cut at, or lists in lists, so that one document of a few MB would hold up an ingest for hours."""


class Measure(Protocol):
    """Say how much of a text a model reads: a model counts by its own tokenizer, with its own prompt."""

    @property
    def window(self) -> int:
        """Give the tokens that the model reads of a text; the rest is cut off unseen."""

    def count(self, text: str) -> int:
        """Count the tokens of a passage as the model is given it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Hold one passage before it has a vector."""

    section: str
    position: int
    text: str

    @property
    def embedded(self) -> str:
        """Give what is embedded: a passage without its headings often does not say what it is about."""
        return embedded_text(self.section, self.text)

    @property
    def text_hash(self) -> str:
        """Hash what is embedded."""
        return hashlib.sha256(self.embedded.encode("utf-8", "surrogatepass")).hexdigest()


def chunks_of(document: Extracted, *, characters: int, overlap: int, measure: Measure) -> list[Chunk]:
    """Cut a document; a piece has at most `characters`, and with its headings fits the model's window.

    It repeats up to `overlap` characters of the one before it.
    """
    chunks: list[Chunk] = []
    for section in document.sections:
        heading = _fitting(section.heading, measure)
        spent = measure.count(embedded_text(heading, ""))
        room = max(1, measure.window - spent)
        # No unit is less than a byte: a text of fewer bytes than `capacity` the splitter takes unmeasured.
        capacity = min(room, characters)

        def size(
            text: str, heading: str = heading, spent: int = spent, room: int = room, capacity: int = capacity
        ) -> int:
            tokens = measure.count(embedded_text(heading, text)) - spent
            return math.ceil(max(tokens / room, len(text) / characters) * capacity)

        pieces = pieces_of(
            section.text,
            capacity=capacity,
            overlap=overlap * capacity // characters,
            size=size,
            markdown=document.markdown,
        )
        for text in pieces:
            chunks.append(Chunk(section=heading, position=len(chunks), text=text))
    return chunks


def pieces_of(
    text: str, *, capacity: int, overlap: int, size: Callable[[str], int] = len, markdown: bool = False
) -> list[str]:
    """Cut a text by its structure: Markdown's blocks, code and tables, else paragraphs, sentences, words.

    `size` measures a piece, in units of a byte or more; `capacity` and `overlap` are in the same.
    """
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

    kind = MarkdownSplitter if markdown else TextSplitter
    splitter = kind.from_callback(size, capacity, overlap=overlap)
    return [
        piece for stretch in _stretches(text, overlap) for piece in splitter.chunks(stretch) if piece.strip()
    ]


def _stretches(text: str, overlap: int) -> Iterator[str]:
    """Part a long text between paragraphs, else lines, else words; a part repeats the end of the last."""
    start = 0
    while len(text) - start > STRETCH:
        middle, end = start + STRETCH // 2, start + STRETCH
        found = ((text.rfind(seam, middle, end), seam) for seam in ("\n\n", "\n", " "))
        end = next((place + len(seam) for place, seam in found if place >= 0), end)
        yield text[start:end]
        word = re.compile(r"(?<=\s)\S").search(text, end - overlap, end)
        start = word.start() if word else end
    yield text[start:]


def _fitting(heading: str, measure: Measure) -> str:
    """Shorten a path of headings that would leave a passage less than half of the window."""
    while heading and measure.count(heading) > measure.window // 2:
        heading = heading[: len(heading) * 3 // 4].rstrip()
    return heading
