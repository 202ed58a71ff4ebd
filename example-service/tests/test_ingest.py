"""The batch job: what it writes, skips, deletes, survives and reports."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from conftest import tiny_settings
from pdf_document import pdf
from rag_service.ingest.documents import DocumentSource
from rag_service.ingest.index_writer import IndexWriter
from rag_service.ingest.pipeline import Plan, ingest
from rag_service.ingest.progress import Progress
from rag_service.tiny_model import TinyEmbedder
from running import DOCUMENTS, ingest_folder, process_environment, running, wait_until


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "deep").mkdir(parents=True)
    (folder / "one.md").write_text("# One\nThe first document is about whales.")
    (folder / "two.txt").write_text("The second document is about rivers.")
    (folder / "deep" / "three.html").write_text("<h1>Three</h1><p>The third is about trains.</p>")
    (folder / "four.pdf").write_bytes(pdf("The fourth is about bread."))
    (folder / "ignored.bin").write_bytes(b"\x00")
    (folder / ".hidden.md").write_text("not for anybody")
    return folder


@pytest.fixture
def index(tmp_path: Path) -> str:
    return str(tmp_path / "index")


def test_every_kind_of_document_is_found_by_the_service(docs: Path, index: str) -> None:
    summary = ingest_folder(docs, index)
    assert (summary.documents, summary.written, summary.failed) == (4, 4, {})
    with running(tiny_settings(index)) as service:
        for question, document in {
            "whales": "one.md",
            "rivers": "two.txt",
            "trains": "deep/three.html",
            "bread": "four.pdf",
        }.items():
            found = service.client.post("/search", json={"query": question, "k": 1}).json()["passages"][0]
            assert found["document"] == document


def test_a_second_run_embeds_nothing_and_publishes_nothing(docs: Path, index: str) -> None:
    first, second = ingest_folder(docs, index), ingest_folder(docs, index)
    assert (second.unchanged, second.passages_embedded, second.written) == (4, 0, 0)
    assert second.version == first.version


def test_a_changed_document_embeds_only_its_new_passages(docs: Path, index: str) -> None:
    text = "\n\n".join(f"Paragraph {n} " + "with some words " * 50 for n in range(6))
    (docs / "two.txt").write_text(text)
    ingest_folder(docs, index)
    (docs / "two.txt").write_text(text + "\n\nOne more paragraph, about volcanoes. " * 20)
    summary = ingest_folder(docs, index)
    assert (summary.unchanged, summary.written) == (3, 1)
    assert summary.passages_reused >= 4
    assert 1 <= summary.passages_embedded <= 3


def test_vanished_documents_and_passages_go(docs: Path, index: str) -> None:
    (docs / "two.txt").write_text("word " * 1000)
    before = ingest_folder(docs, index)
    (docs / "one.md").unlink()
    (docs / "two.txt").write_text("short now")
    summary = ingest_folder(docs, index)
    assert summary.deleted == 1
    assert before.passages_total > 4
    assert summary.passages_total == 3


def test_a_renamed_document_keeps_its_vectors(docs: Path, index: str) -> None:
    ingest_folder(docs, index)
    (docs / "two.txt").rename(docs / "renamed 'two'.txt")
    summary = ingest_folder(docs, index)
    assert (summary.passages_embedded, summary.passages_reused, summary.deleted) == (0, 1, 1)
    (docs / "renamed 'two'.txt").unlink()
    assert ingest_folder(docs, index).passages_total == 3, "a quote in a name is no SQL"


def test_a_failed_document_keeps_its_old_passages_and_the_rest_is_written(docs: Path, index: str) -> None:
    ingest_folder(docs, index)
    (docs / "four.pdf").write_bytes(b"%PDF-1.4 broken")
    (docs / "new.txt").write_text("Something new, about glaciers.")
    (docs / "latin.txt").write_bytes(b"gr\xfc\xdfe")
    summary = ingest_folder(docs, index)
    assert set(summary.failed) == {"four.pdf", "latin.txt"}
    assert (summary.written, summary.deleted, summary.passages_total) == (1, 0, 5)


def test_a_document_over_the_size_limit_fails_unread(docs: Path, index: str) -> None:
    summary = ingest_folder(docs, index, most_bytes=40)
    assert "the limit is 40" in summary.failed["deep/three.html"]


def test_an_empty_document_is_no_failure_and_no_new_version(docs: Path, index: str) -> None:
    (docs / "empty.txt").write_text("")
    first, second = ingest_folder(docs, index), ingest_folder(docs, index)
    assert (first.empty, first.failed) == (1, {})
    assert first.version == second.version


class RunsOutOfMemory(TinyEmbedder):
    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if len(texts) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().encode(texts)


def run(docs: Path, index: str, embedder: TinyEmbedder, **plan: Any) -> Any:
    source = DocumentSource(str(docs))
    writer = IndexWriter(index, model=embedder.name, dimension=embedder.dimension)
    return ingest(
        source, writer, embedder, plan=Plan(**plan), on_progress=lambda *_: None, documents=source.list()
    )


def test_out_of_memory_makes_batches_smaller(docs: Path, index: str) -> None:
    (docs / "two.txt").write_text(" ".join(f"word{n}" for n in range(2000)))
    summary = run(docs, index, RunsOutOfMemory("cpu"))
    assert summary.passages_embedded == summary.passages_total > 10
    assert summary.failed == {}


def test_the_service_sees_the_old_index_until_the_new_one_is_whole(docs: Path, index: str) -> None:
    ingest_folder(docs, index)

    class Watching(TinyEmbedder):
        seen: set[str]

        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            answer = service.client.post("/search", json={"query": "about", "k": 50}).json()
            Watching.seen |= {passage["document"] for passage in answer["passages"]}
            return super().encode(texts)

    Watching.seen = set()
    for number in range(600):
        (docs / f"later-{number}.txt").write_text(f"Later document {number} about something.")
    (docs / "one.md").unlink()
    with running(tiny_settings(index)) as service:
        version = service.client.get("/health").json()["index_version"]
        summary = run(docs, index, Watching("cpu"))
        assert Watching.seen == {"one.md", "two.txt", "deep/three.html", "four.pdf"}
        wait_until(lambda: service.client.get("/health").json()["index_version"] == summary.version)
        answer = service.client.post("/search", json={"query": "later document", "k": 50}).json()
    assert summary.version > version
    assert {passage["document"] for passage in answer["passages"]} - Watching.seen


KILLED_AT = """
import os, signal, sys
sys.path.insert(0, {src!r})
from rag_service.tiny_model import TinyEmbedder
from rag_service.ingest import index_writer, __main__ as job
class Dies(index_writer.IndexWriter):
    commits = 0
    def replace(self, documents):
        super().replace(documents)
        Dies.commits += 1
        if Dies.commits == 2:
            os.kill(os.getpid(), signal.SIGKILL)
job.IndexWriter = Dies
sys.exit(job.main(sys.argv[1:]))
"""


def test_a_killed_run_is_continued_by_the_next(docs: Path, index: str) -> None:
    for number in range(700):
        (docs / f"many-{number:03}.txt").write_text(f"Document {number} of many, about topic {number % 7}.")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_AT.format(src="src"), str(docs)],
        env=process_environment(INDEX_URI=index),
        capture_output=True,
        cwd=DOCUMENTS.parent,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    summary = ingest_folder(docs, index)
    assert summary.unchanged == 512, "two commits of 256 documents survived"
    assert summary.passages_embedded + summary.passages_reused == 704 - 512
    assert summary.passages_total == 704


def job(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rag_service.ingest", *arguments],
        env=process_environment(**environment),
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_job_reports_as_json_and_ends_with_1_when_a_document_failed(
    docs: Path, index: str, tmp_path: Path
) -> None:
    (docs / "broken\x1b[31m.pdf").write_bytes(b"nonsense")
    done = job(str(docs), "--summary", str(tmp_path / "summary.json"), INDEX_URI=index)
    assert done.returncode == 1
    summary = json.loads(done.stdout)
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    assert (summary["written"], len(summary["failed"])) == (4, 1)
    assert "ERROR: broken\\x1b[31m.pdf: The PDF cannot be read" in done.stderr
    assert "\x1b" not in done.stderr + done.stdout
    assert "INFO: 5/5 documents" in done.stderr


def test_the_job_ends_with_0_when_all_is_well(index: str) -> None:
    done = job(str(DOCUMENTS), INDEX_URI=index)
    assert (done.returncode, json.loads(done.stdout)["documents"]) == (0, 4), done.stderr


REFUSED: dict[str, tuple[list[str], dict[str, str], str]] = {
    "a folder that is not there": (["/nonexistent"], {}, "/nonexistent is no folder."),
    "a folder without documents": (["{empty}"], {}, "holds no documents"),
    "no GPU": ([str(DOCUMENTS)], {"ALLOW_CPU": "0"}, "No GPU is visible"),
    "a setting that is no number": ([str(DOCUMENTS)], {"MAX_BATCH": "many"}, "MAX_BATCH: "),
    "an overlap over half a passage": ([str(DOCUMENTS), "--overlap", "600"], {}, "--overlap must be below"),
}


@pytest.mark.parametrize(("arguments", "environment", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_the_job_ends_with_2_when_nothing_can_be_done(
    tmp_path: Path, index: str, arguments: list[str], environment: dict[str, str], words: str
) -> None:
    if "ALLOW_CPU" in environment and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    (tmp_path / "empty").mkdir()
    done = job(*(a.format(empty=tmp_path / "empty") for a in arguments), INDEX_URI=index, **environment)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not os.path.exists(index), "nothing was touched"


def test_a_log_gets_lines_and_a_terminal_a_bar() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    now = 0.0
    log, terminal = io.StringIO(), Terminal()
    reports = [Progress(out, 100, clock=lambda: now) for out in (log, terminal)]
    for done in range(1, 101):
        now = done * 1.0
        for report in reports:
            report.update(done, done * 3)
    for report in reports:
        report.finish(100, 300)
    assert log.getvalue().splitlines()[0] == "INFO: 15/100 documents, 45 passages, 15 s"
    assert len(log.getvalue().splitlines()) == 7
    assert terminal.getvalue().count("\n") == 1
    assert terminal.getvalue().rstrip().endswith("██████████ 100/100 documents, 300 passages\x1b[K")
