"""Build deterministic models without weights: small enough for tests, real enough to rank by words.

They are torch modules that run through the same queue, device thread and inference mode as the real ones.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

_WORD = re.compile(r"\w+", re.UNICODE)
_BUCKETS = 4096


def _buckets_of(text: str) -> list[int]:
    """Hash the words and their five-letter stems into buckets; CRC-32 is the same on every machine."""
    words = _WORD.findall(text.casefold())
    pieces = words + [word[:5] + "~" for word in words if len(word) > 5]
    return [zlib.crc32(piece.encode("utf-8", "surrogatepass")) % _BUCKETS for piece in pieces] or [0]


class TinyEmbedder:
    """Embed by feature hashing through a fixed random projection; unit length, float32."""

    name = "tiny"
    dimension = 128
    window = 1_000_000
    """It reads texts of any length."""

    def __init__(self, device: str) -> None:
        generator = torch.Generator().manual_seed(20)
        weights = torch.randn(_BUCKETS, self.dimension, generator=generator)
        self._bag = torch.nn.EmbeddingBag.from_pretrained(weights, mode="sum").to(device)
        self._device = device

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts to rows of `dimension` numbers."""
        buckets = [_buckets_of(text) for text in texts]
        offsets = np.cumsum([0, *map(len, buckets[:-1])])
        flat = torch.tensor([bucket for row in buckets for bucket in row], device=self._device)
        with torch.inference_mode():
            vectors = self._bag(flat, torch.tensor(offsets, device=self._device))
            return torch.nn.functional.normalize(vectors, dim=1).cpu().numpy()

    def encode_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed passages as questions are."""
        return self.encode(texts)

    def count(self, text: str) -> int:
        """Count words."""
        return len(_WORD.findall(text))


class TinyReranker:
    """Score a pair by the share of the question's words that the passage has, 0 to 1."""

    name = "tiny"

    def __init__(self, device: str) -> None:
        self._device = device

    def count(self, pair: tuple[str, str]) -> int:
        """Count words."""
        return sum(len(_WORD.findall(text)) for text in pair)

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Score (question, passage) pairs."""
        shares = []
        for question, passage in pairs:
            wanted = set(_buckets_of(question))
            shares.append(len(wanted & set(_buckets_of(passage))) / len(wanted))
        with torch.inference_mode():
            return torch.tensor(shares, dtype=torch.float32, device=self._device).cpu().numpy()
