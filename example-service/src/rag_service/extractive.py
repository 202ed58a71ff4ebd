"""Answer without a generator: the sentences of the passages that share most words with the question."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag_service.store import Hit

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"\w{3,}", re.UNICODE)
_LONGEST_SENTENCE = 400


def extractive_answer(question: str, hits: Sequence[Hit], *, sentences: int = 3) -> str:
    """Quote up to `sentences` sentences with their source's number, in the order of the passages.

    Ties go to the better passage. Without any shared word it is the beginning of the best passage.
    """
    if not hits:
        return "No passage was found."
    wanted = {word.casefold() for word in _WORD.findall(question)}
    rated: list[tuple[int, int, int, str]] = []
    for number, hit in enumerate(hits, start=1):
        for place, sentence in enumerate(_SENTENCE.split(hit.passage.text)):
            text = " ".join(sentence.split())
            shared = wanted & {word.casefold() for word in _WORD.findall(text)}
            if shared:
                rated.append((-len(shared), number, place, text))
    best = sorted(sorted(rated)[:sentences], key=lambda entry: entry[1:3])
    if not best:
        best = [(0, 1, 0, " ".join(hits[0].passage.text.split()))]
    return " ".join(f"{_shortened(text)} [{number}]" for _, number, _, text in best)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SENTENCE else text[: _LONGEST_SENTENCE - 1].rstrip() + "…"
