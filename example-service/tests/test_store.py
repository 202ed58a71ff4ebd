"""The index on a folder and on S3, resident on the device and through LanceDB."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import httpx
import lancedb
import pytest
from moto.server import ThreadedMotoServer

from conftest import tiny_settings
from rag_service.ingest.__main__ import arguments_parser
from rag_service.ingest.__main__ import main as ingest_main
from rag_service.ingest.__main__ import run as ingest_job
from rag_service.ingest.documents import DocumentSource, SourceUnusable
from rag_service.ingest.engine import Plan
from rag_service.ingest.index_writer import IndexWriter
from rag_service.ingest.pipeline import Summary, ingest
from rag_service.live_index import LiveIndex
from rag_service.tiny_model import TinyEmbedder
from running import DOCUMENTS, ingest_folder, running, wait_until

QUESTIONS = ("circuit breaker", "What does SIGTERM do?", "CUDA wheels of torch", "grace period")


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        patch.setenv("AWS_REGION", "eu-central-1")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        client = boto3.client("s3")
        client.create_bucket(
            Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        for path in DOCUMENTS.rglob("*.*"):
            client.upload_file(str(path), "bucket", f"docs/{path.relative_to(DOCUMENTS)}")
        yield endpoint
    server.stop()


def test_documents_and_index_on_s3_are_served_and_followed(s3: str, tmp_path: Path) -> None:
    summary = ingest_folder("s3://bucket/docs", "s3://bucket/index")
    assert (summary.documents, summary.written, summary.failed) == (10, 10, {})
    assert ingest_folder("s3://bucket/docs", "s3://bucket/index").passages_embedded == 0
    settings = tiny_settings("s3://bucket/index")
    with running(settings) as one, running(settings) as two:
        boto3.client("s3").put_object(Bucket="bucket", Key="docs/new.md", Body=b"# Volcanoes\nThey erupt.")
        summary = ingest_folder("s3://bucket/docs", "s3://bucket/index")
        assert summary.written == 1
        for task in (one, two):
            wait_until(
                lambda task=task: task.client.get("/health").json()["index_version"] == summary.version
            )
            found = task.client.post("/search", json={"query": "volcanoes", "k": 1}).json()
            assert found["passages"][0]["document"] == "new.md"


def test_ingests_at_once_take_turns_on_s3(s3: str) -> None:
    options = arguments_parser().parse_args(["s3://bucket/docs"])
    settings = tiny_settings("s3://bucket/shared")
    with ThreadPoolExecutor(3) as pool:
        summaries = list(pool.map(lambda _: ingest_job(options, settings), range(3)))
    assert sorted(summary.written for summary in summaries)[:2] == [0, 0]
    assert {summary.passages_total for summary in summaries} == {summaries[0].passages_total}


@dataclass
class Door:
    """What stands before S3: it lets so many requests of a kind pass, then denies them as S3 does."""

    url: str = ""
    denies: tuple[str, str] = ("", "")
    after: int = 0
    passed: int = 0

    def denied(self, method: str, path: str) -> bool:
        kind, part = self.denies
        if not kind or method != kind or part not in path:
            return False
        self.passed += 1
        return self.passed > self.after


DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


@pytest.fixture
def door(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    door, client = Door(), httpx.Client(base_url=s3, timeout=30)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"] or 0))
            denied = door.denied(self.command, self.path)
            if denied:
                status, headers, content = 403, [("content-type", "application/xml")], DENIED
            else:
                sent = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                passed = client.request(self.command, self.path, content=body, headers=sent)
                status, headers, content = passed.status_code, list(passed.headers.items()), passed.content
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in (
                    "content-length",
                    "transfer-encoding",
                    "connection",
                    "date",
                    "server",
                ):
                    self.send_header(name, value)
            length = dict(headers).get("content-length", "0") if self.command == "HEAD" else len(content)
            self.send_header("content-length", str(length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    door.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", door.url)
    yield door
    server.shutdown()
    server.server_close()
    thread.join()
    client.close()


def test_s3_that_denies_in_the_middle_fails_in_a_sentence_and_the_next_run_goes_on(
    door: Door, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "EMBEDDING_MODEL": "tiny",
        "ALLOW_CPU": "1",
        "INDEX_URI": "s3://bucket/denied",
    }.items():
        monkeypatch.setenv(name, value)
    door.denies, door.after = ("GET", "/docs/"), 5
    assert ingest_main(["s3://bucket/docs"]) == 1, "some documents could be read, the rest is named"
    said = capfd.readouterr()
    failed = json.loads(said.out)["failed"]
    assert 0 < len(failed) < 10
    assert all("It cannot be read" in why for why in failed.values())
    door.denies, door.after, door.passed = ("PUT", "/denied/"), 2, 0
    assert ingest_main(["s3://bucket/docs"]) == 2, "nothing could be written"
    said = capfd.readouterr()
    assert said.err.startswith("ERROR: s3://bucket/denied: ")
    assert "403 Forbidden" in said.err
    assert "Traceback" not in said.err
    door.denies = ("", "")
    assert ingest_main(["s3://bucket/docs"]) == 0
    with running(tiny_settings("s3://bucket/denied")) as service:
        door.denies, door.after, door.passed = ("GET", "/denied"), 0, 0
        wait_until(lambda: door.passed > 2)
        assert service.client.post("/search", json={"query": "circuit breaker"}).status_code == 200
        assert service.client.get("/health").status_code == 200


def test_a_bucket_that_is_not_there_is_said(s3: str) -> None:
    with pytest.raises(SourceUnusable, match="s3://missing/docs cannot be listed"):
        DocumentSource("s3://missing/docs").list()


def test_resident_vectors_and_lancedb_find_the_same(index_uri: str) -> None:
    answers = []
    for resident in (200_000, 0):
        with running(tiny_settings(index_uri, resident_passages=resident, reranker_model="")) as service:
            answers.append(
                [
                    service.client.post("/search", json={"query": q, "k": 4}).json()["passages"]
                    for q in QUESTIONS
                ]
            )
    for exact, lance in zip(*answers, strict=True):
        assert [p["text"] for p in exact] == [p["text"] for p in lance]
        assert [p["score"] for p in exact] == pytest.approx([p["score"] for p in lance], abs=1e-4)


def test_an_index_of_another_model_is_not_touched(tmp_path: Path) -> None:
    ingest_folder(DOCUMENTS, str(tmp_path))

    async def newest(model: str, dimension: int) -> object:
        index = LiveIndex(str(tmp_path), model=model, dimension=dimension, resident_limit=0, device="cpu")
        try:
            return await index.newest()
        finally:
            index.close()

    assert asyncio.run(newest("tiny", 128)) is not None
    assert asyncio.run(newest("other", 128)) is None
    assert asyncio.run(newest("tiny", 64)) is None


def test_storage_that_fails_later_costs_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ingest_folder(DOCUMENTS, str(tmp_path))
    with running(tiny_settings(tmp_path)) as service:
        [tag] = tmp_path.rglob("live.json")
        tag.write_text("half a wri")
        wait_until(lambda: "cannot be read" in caplog.text)
        answer = service.client.post("/search", json={"query": "circuit breaker"})
        assert answer.status_code == 200
        assert service.client.get("/health").status_code == 200


def test_a_large_index_gets_an_approximate_index_that_later_runs_extend(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(1200):
        (folder / f"{number}.txt").write_text(f"Topic{number} belongs to chapter{number % 40} alone.")

    def ingest_some() -> Summary:
        source, model = DocumentSource(str(folder)), TinyEmbedder("cpu")
        writer = IndexWriter(
            str(tmp_path / "index"), model=model.name, dimension=model.dimension, ann_from=1000
        )
        return ingest(
            source, writer, model, plan=Plan(), on_progress=lambda *_: None, documents=source.list()
        )

    ingest_some()
    settings = tiny_settings(tmp_path / "index", resident_passages=0, reranker_model="")
    with running(settings) as service:
        (folder / "late.txt").write_text("Zanzibar came late.")
        version = ingest_some().version
        wait_until(lambda: service.client.get("/health").json()["index_version"] == version)
        for question, document in {"topic7 chapter7": "7.txt", "zanzibar": "late.txt"}.items():
            found = service.client.post("/search", json={"query": question, "k": 3}).json()["passages"]
            assert document in [passage["document"] for passage in found]
    table = lancedb.connect(str(tmp_path / "index")).open_table("passages-tiny-128")
    assert [index.columns for index in table.list_indices()] == [["vector"]]
