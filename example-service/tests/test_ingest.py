"""The batch job: what it writes, skips, deletes, survives and reports."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from conftest import tiny_settings
from pdf_document import pdf
from rag_service.ingest.__main__ import arguments_parser, main
from rag_service.ingest.__main__ import run as ingest_job
from rag_service.ingest.documents import DocumentSource
from rag_service.ingest.engine import Plan
from rag_service.ingest.index_writer import EmbeddedDocument, IndexWriter
from rag_service.ingest.lease import Lease, LeaseLost, LeaseTaken
from rag_service.ingest.pipeline import Summary, ingest, settle
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
    return settle(
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
    assert (done.returncode, json.loads(done.stdout)["documents"]) == (0, 10), done.stderr


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


def test_a_job_that_is_interrupted_says_so_and_gives_the_lease_back(docs: Path, index: str) -> None:
    """Held up by another writer it waits, where a key of the keyboard reaches it."""
    command = [sys.executable, "-m", "rag_service.ingest", str(docs)]
    with (
        Lease(index, "passages-tiny-128", seconds=60, wait=0),
        subprocess.Popen(
            command, env=process_environment(INDEX_URI=index), stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stderr is not None
        said = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        said += process.stderr.read()
    assert process.returncode == 130
    assert "INFO: interrupted: what was committed stays" in said
    assert "Traceback" not in said


def rows_of(index: str) -> list[tuple[str, str, str]]:
    table = lancedb.connect(index).open_table("passages-tiny-128")
    columns = ["id", "document_hash", "text"]
    found = table.search().select(columns).limit(None).to_arrow().select(columns).to_pylist()
    return sorted(tuple(row.values()) for row in found)


def test_ten_ingests_at_once_make_the_index_that_one_makes(
    docs: Path, index: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(30):
        (docs / f"many-{number}.txt").write_text(f"Document {number}. " * 120)
    options, settings = arguments_parser().parse_args([str(docs)]), tiny_settings(index)
    ready = threading.Barrier(10)

    def at_once(_number: int) -> Summary:
        ready.wait(20)
        return ingest_job(options, settings)

    with ThreadPoolExecutor(10) as pool:
        summaries = list(pool.map(at_once, range(10)))
    assert "INFO: waiting for another ingest (process " in capsys.readouterr().err
    assert sorted(summary.written for summary in summaries) == [*[0] * 9, 34], "nine found all done"
    assert {summary.version for summary in summaries} == {summaries[0].version}
    ingest_folder(docs, str(tmp_path / "alone"))
    assert rows_of(index) == rows_of(str(tmp_path / "alone"))


def test_an_index_with_rows_twice_is_repaired_and_keeps_its_vectors(docs: Path, index: str) -> None:
    (docs / "two.txt").write_text("word and word " * 200)
    ingest_folder(docs, index)
    good = rows_of(index)
    table = lancedb.connect(index).open_table("passages-tiny-128")
    for _ in range(3):  # what runs without a lease left behind
        table.add(table.search().where("document != 'one.md'").limit(None).to_arrow())
    (docs / "four.pdf").write_bytes(b"%PDF-1.4 broken")
    rows, summary = table.count_rows(), run(docs, index, TinyEmbedder("cpu"))
    assert (summary.repaired, summary.passages_embedded) == (rows - len(good), 0)
    assert (summary.unchanged, summary.written, list(summary.failed)) == (1, 2, ["four.pdf"])
    assert [(key, text) for key, _, text in rows_of(index)] == [(key, text) for key, _, text in good]
    assert run(docs, index, TinyEmbedder("cpu")).repaired == 0


def test_two_writers_without_a_lease_still_make_no_row_twice(docs: Path, index: str) -> None:
    ready = threading.Barrier(2)

    class Meets(IndexWriter):
        def replace(self, documents: Sequence[EmbeddedDocument]) -> None:
            ready.wait(20)
            super().replace(documents)

    def write() -> None:
        source, model = DocumentSource(str(docs)), TinyEmbedder("cpu")
        writer = Meets(index, model=model.name, dimension=model.dimension)
        ingest(source, writer, model, plan=Plan(), on_progress=lambda *_: None, documents=source.list())

    IndexWriter(index, model="tiny", dimension=128)
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(write) for _ in range(2)]:
            done.result(60)
    assert len(rows_of(index)) == len({key for key, *_ in rows_of(index)}) == 4


def test_a_document_that_comes_during_the_run_is_in_the_index_at_its_end(docs: Path, index: str) -> None:
    class Uploads(TinyEmbedder):
        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            (docs / "late.txt").write_text("It came late, about volcanoes.")
            return super().encode(texts)

    summary = run(docs, index, Uploads("cpu"))
    assert (summary.documents, summary.written, summary.unchanged, summary.rounds) == (5, 5, 5, 3)


def test_no_link_leads_out_of_the_source_or_in_circles(docs: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("not yours")
    (docs / "out.txt").symlink_to(tmp_path / "secret.txt")
    (docs / "deep" / "up").symlink_to(docs)
    (docs / "other").symlink_to(tmp_path)
    (docs / "gone.txt").symlink_to(docs / "nothing.txt")
    (docs / "inside.txt").symlink_to(docs / "two.txt")
    os.mkfifo(docs / "pipe.txt")
    source = DocumentSource(str(docs))
    listed = source.list()
    names = [document.name for document in listed]
    assert names == ["deep/three.html", "four.pdf", "inside.txt", "one.md", "two.txt"]
    (docs / "two.txt").unlink()
    (docs / "two.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(FileNotFoundError, match="link out of the source"):
        source.read(listed[-1])


def test_a_name_that_is_no_utf_8_is_a_document(docs: Path, index: str) -> None:
    Path(os.fsdecode(os.fsencode(docs) + b"/gr\xfcn.txt")).write_text("Something green.")
    summary = ingest_folder(docs, index)
    assert (summary.written, summary.failed) == (5, {})
    assert "gr\\xfcn.txt#0" in [key for key, *_ in rows_of(index)]


def test_an_ingest_that_shows_no_life_is_taken_over_and_writes_nothing_more(index: str) -> None:
    asleep = Lease(index, "t", seconds=1, wait=0)
    asleep._renewing = threading.Thread(target=lambda: None)  # it stands still: no beat
    with asleep:
        asleep.check()
        with pytest.raises(LeaseTaken, match=r"Another ingest \(process \d+ on .*--wait"):
            Lease(index, "t", seconds=30, wait=0).__enter__()
        with Lease(index, "t", seconds=1, wait=10) as awake:
            with pytest.raises(LeaseLost, match="has taken over"):
                asleep.check()
            time.sleep(1.2)
            awake.check()
    with Lease(index, "t", seconds=30, wait=0):
        """Given back, it is free at once."""


def test_the_job_says_that_another_ingest_is_writing(
    docs: Path, index: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"INDEX_URI": index, "EMBEDDING_MODEL": "tiny", "ALLOW_CPU": "1"}.items():
        monkeypatch.setenv(name, value)
    with Lease(index, "passages-tiny-128", seconds=30, wait=0):
        assert main([str(docs), "--wait", "0"]) == 2
    said = capsys.readouterr()
    assert "ERROR: Another ingest (process " in said.err
    assert said.out == ""


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
