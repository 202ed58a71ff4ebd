"""Cut sections into passages that fit an embedding model's window, at the best place that there is."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from rag_service.ingest.extraction import Extracted
from rag_service.store import embedded_text

CHUNKING = "1"
"""Part of a document's hash: raise it when the cut changes, and everything is cut again."""

_SEAMS = (re.compile(r"\n\s*\n"), re.compile(r"\n"), re.compile(r"(?<=[.!?])\s+"), re.compile(r"\s+"))


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


def chunks_of(document: Extracted, *, characters: int, overlap: int) -> list[Chunk]:
    """Cut a document; a piece has at most `characters` and repeats up to `overlap` of the one before it."""
    chunks: list[Chunk] = []
    for section in document.sections:
        for text in pieces_of(section.text, characters=characters, overlap=overlap):
            chunks.append(Chunk(section=section.heading, position=len(chunks), text=text))
    return chunks


def pieces_of(text: str, *, characters: int, overlap: int) -> list[str]:
    """Cut a text at paragraphs, else lines, else sentences, else words, else anywhere."""
    text = text.strip()
    pieces: list[str] = []
    start = 0
    while len(text) - start > characters:
        end = start + _seam(text[start : start + characters])
        pieces.append(text[start:end].strip())
        # The overlap begins at a word, and every step goes forward.
        back = max(end - overlap, start + 1)
        space = re.compile(r"\s").search(text, back, end)
        start = space.end() if space is not None and overlap else end
    pieces.append(text[start:].strip())
    return [piece for piece in pieces if piece]


def _seam(window: str) -> int:
    """Find the last seam in the second half of a window, coarse seams first; its end if there is none."""
    for seam in _SEAMS:
        ends = [match.end() for match in seam.finditer(window, len(window) // 2)]
        if ends:
            return ends[-1]
    return len(window)
