"""The real MiniLM, from its package, offline: what the tiny model cannot show is that meaning is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from conftest import tiny_settings
from rag_service.models import load_embedder
from running import DOCUMENTS, ingest_folder, running


def test_minilm_finds_by_meaning_where_no_word_is_shared(tmp_path: Path) -> None:
    summary = ingest_folder(DOCUMENTS, str(tmp_path), model="minilm")
    assert summary.passages_total == 10
    with running(tiny_settings(tmp_path, embedding_model="minilm", reranker_model="")) as service:
        body = {"query": "Why did my deployment go back to the old release?", "k": 3}
        passages = service.client.post("/search", json=body).raise_for_status().json()["passages"]
        health = service.client.get("/health").json()
    assert passages[0]["document"] == "circuit-breaker.md"
    assert health["checks"]["models_loaded"] is True


def test_a_batch_gives_the_same_vectors_as_one_by_one() -> None:
    model = load_embedder("minilm", "cpu")
    texts = ["short", "a somewhat longer text about GPUs", "x " * 2000, "", "größer 大きい"]
    together = model.encode(texts)
    apart = np.concatenate([model.encode([text]) for text in texts])
    assert together.shape == (5, 384)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert np.allclose(together, apart, atol=1e-5)
