"""The consumer of the uploads' queue: one ingest for many uploads, and none of them lost."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import lancedb
import pytest
from moto.server import ThreadedMotoServer

from conftest import tiny_settings
from queue_stand_in import QueueStandIn, served
from rag_service.ingest.__main__ import REFUSALS, arguments_parser, ingest_once
from rag_service.ingest.documents import DocumentSource, SourceUnusable
from rag_service.ingest.lease import Lease
from rag_service.ingest.queue import Consumer, Pace, Queue, Stopped, is_test, protect, strangeness
from rag_service.tiny_model import TinyEmbedder
from running import process_environment, wait_until

QUICK = Pace(poll=1, settle=1, visibility=30, strange=0, again=0)


class Bucket:
    """A bucket whose changes reach a queue through EventBridge, with a dead-letter queue behind it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.source = f"s3://{name}/documents"
        self.index = f"s3://{name}/index"
        self.s3, self.sqs, events = (boto3.client(one) for one in ("s3", "sqs", "events"))
        where: Any = {"LocationConstraint": "eu-central-1"}
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration=where)
        self.s3.put_bucket_notification_configuration(
            Bucket=name, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        self.dead = self.sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        redrive = {"maxReceiveCount": 3, "deadLetterTargetArn": self._arn(self.dead)}
        self.url = self.sqs.create_queue(
            QueueName=f"{name}-uploads", Attributes={"RedrivePolicy": json.dumps(redrive)}
        )["QueueUrl"]
        pattern = {
            "source": ["aws.s3"],
            "detail-type": ["Object Created", "Object Deleted"],
            "detail": {"bucket": {"name": [name]}, "object": {"key": [{"prefix": "documents/"}]}},
        }
        events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": self._arn(self.url)}])

    def _arn(self, url: str) -> str:
        names: Any = ["QueueArn"]
        return str(
            self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]["QueueArn"]
        )

    def upload(self, name: str, text: str) -> None:
        self.s3.put_object(Bucket=self.name, Key=f"documents/{name}", Body=text.encode())

    def send(self, body: str) -> None:
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body)

    def depth(self, url: str | None = None) -> int:
        """Count visible and invisible, one after the other: one that changes in between may be in neither."""
        names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        counts = self.sqs.get_queue_attributes(QueueUrl=url or self.url, AttributeNames=names)["Attributes"]
        return sum(map(int, counts.values()))

    def documents(self) -> set[str]:
        table = lancedb.connect(self.index, storage_options={"allow_http": "true"}).open_table(
            "passages-tiny-128"
        )
        return set(table.search().select(["document"]).limit(None).to_arrow()["document"].to_pylist())


@pytest.fixture(scope="module", autouse=True)
def aws() -> Iterator[None]:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_REGION", "eu-central-1")
        patch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        yield
    server.stop()


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> Bucket:
    return Bucket(f"b{abs(hash(request.node.name))}")


class Run:
    """A consumer of this process: what it said, and how often it ingested."""

    def __init__(self, bucket: Bucket, *, pace: Pace = QUICK) -> None:
        self.said: list[str] = []
        self.ingests = 0
        self.stop = threading.Event()
        self.bucket = bucket
        self.settings = tiny_settings(bucket.index)
        self.options = arguments_parser().parse_args([bucket.source])
        self.embedder = TinyEmbedder("cpu")
        self.queue = Queue(bucket.url, pace)
        self.consumer = Consumer(
            self.queue,
            bucket.source,
            lambda: self.ingest(),  # noqa: PLW0108 - tests put another one in its place
            refusals=REFUSALS,
            stop=self.stop,
            say=self.said.append,
            pace=pace,
        )

    def go_on(self, seconds: float = 0) -> None:
        if self.stop.wait(seconds) if seconds else self.stop.is_set():
            raise Stopped

    def ingest(self) -> list[str]:
        self.ingests += 1
        return ingest_once(self.options, self.settings, self.embedder, go_on=self.go_on).unread

    @contextmanager
    def running(self) -> Iterator[None]:
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(self.consumer.run)
            try:
                yield
            finally:
                self.stop.set()
                done.result(60)


def test_a_hundred_uploads_are_few_ingests_and_every_document_is_found(bucket: Bucket) -> None:
    names = {f"n{number:03}.txt" for number in range(100)}
    for name in sorted(names):
        bucket.upload(name, f"Document {name}, about topic {hash(name) % 7}.")
    assert bucket.depth() == 100
    run = Run(bucket)
    with run.running():
        wait_until(lambda: bucket.depth() == 0)
        assert bucket.documents() == names
        few = run.ingests
        bucket.s3.delete_object(Bucket=bucket.name, Key="documents/n000.txt")
        bucket.upload("late.txt", "It came late, about volcanoes.")
        wait_until(lambda: bucket.depth() == 0)
    assert bucket.documents() == names - {"n000.txt"} | {"late.txt"}
    # The queue tells its time in whole seconds: what came in the last one may ask for one more.
    assert few <= 2
    assert run.ingests <= few + 2
    assert bucket.depth(bucket.dead) == 0


def test_ten_thousand_messages_are_one_ingest_and_none_is_lost(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        bucket.upload(f"n{number}.txt", f"Document {number}.")
    event = bucket.sqs.receive_message(QueueUrl=bucket.url)["Messages"][0]["Body"]
    line = QueueStandIn([event] * 10_000)
    for one in line.visible:
        one.sent -= 60
    with served(line) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", endpoint)
        run = Run(bucket)
        with run.running():
            wait_until(lambda: not line.visible and not line.in_flight, seconds=90)
    assert line.deleted == 10_000
    assert (run.ingests, run.said[-1]) == (1, "INFO: it answered 9990 more messages")
    assert len(bucket.documents()) == 20


def test_what_is_sent_during_an_ingest_asks_for_another(bucket: Bucket) -> None:
    run = Run(bucket)
    inner = run.ingest

    def with_an_upload_at_the_end() -> list[str]:
        unread = inner()
        if run.ingests == 1:
            bucket.upload("during.txt", "It came while the ingest was at its end.")
        return unread

    run.ingest = with_an_upload_at_the_end  # type: ignore[method-assign]
    bucket.upload("first.txt", "About rivers.")
    with run.running():
        wait_until(lambda: bucket.depth() == 0)
    assert run.ingests == 2
    assert bucket.documents() == {"first.txt", "during.txt"}


STRANGE = {
    "{": "it is no JSON",
    "[" * 10_000: "it is no JSON",
    "[1]": "it is no event of a bucket, and says no `ingest`",
    '{"detail-type": "Object Created", "detail": "none"}': "it is no event of a bucket",
    json.dumps(
        {
            "detail-type": "Object Created",
            "detail": {"bucket": {"name": "other"}, "object": {"key": "documents/x"}},
        }
    ): "it is about s3://other/documents/x and not about s3://",
    json.dumps(
        {
            "detail-type": "Object Restored",
            "detail": {"bucket": {"name": "b"}, "object": {"key": "documents/x"}},
        }
    ): "'Object Restored' asks for nothing",
}


def test_what_means_nothing_ends_in_the_dead_letter_queue_and_keeps_nobody(bucket: Bucket) -> None:
    for body in STRANGE:
        bucket.send(body)
    bucket.send('{"Service": "Amazon S3", "Event": "s3:TestEvent"}')
    bucket.upload("one.txt", "About whales.")
    bucket.send('{"ingest": "schedule"}')
    run = Run(bucket)
    with run.running():
        wait_until(lambda: bucket.depth(bucket.dead) == len(STRANGE))
        wait_until(lambda: bucket.depth() == 0)
    assert bucket.documents() == {"one.txt"}
    told = [one.partition(" is left to the dead-letter queue: ") for one in run.said if "dead-letter" in one]
    assert [(line, why) for line, _, why in told if not line.startswith("ERROR: message ")] == []
    assert len(told) == len(STRANGE), "once each, however often it came"


@pytest.mark.parametrize(("body", "why"), STRANGE.items(), ids=lambda text: text[:40])
def test_a_message_that_asks_for_nothing_is_told_why(body: str, why: str) -> None:
    assert (strangeness(body, "s3://b/documents") or "").startswith(why.removesuffix("s3://"))
    assert not is_test(body)


def test_an_ingest_that_cannot_be_done_is_tried_again_and_then_put_aside(bucket: Bucket) -> None:
    run = Run(bucket, pace=Pace(poll=1, settle=1, visibility=1, strange=0, again=0))

    def refused() -> None:
        run.ingests += 1
        raise SourceUnusable("s3://b/documents cannot be listed: denied")

    run.ingest = refused  # type: ignore[method-assign]
    bucket.send('{"ingest": "schedule"}')
    with run.running():
        wait_until(lambda: bucket.depth(bucket.dead) == 1)
    assert run.ingests == 3, "as often as the queue's redrive policy allows"
    assert bucket.depth() == 0
    assert "ERROR: s3://b/documents cannot be listed: denied" in run.said


def test_an_error_that_is_no_refusal_ends_the_process_and_keeps_the_message(bucket: Bucket) -> None:
    def broken() -> None:
        raise RuntimeError("CUDA error: device lost")

    run = Run(bucket)
    run.ingest = broken  # type: ignore[method-assign]
    bucket.send('{"ingest": "schedule"}')
    with pytest.raises(RuntimeError, match="device lost"):
        run.consumer.run()
    assert bucket.depth() == 1


def test_a_stop_ends_an_ingest_between_steps_and_gives_its_message_back(bucket: Bucket) -> None:
    for number in range(40):
        bucket.upload(f"{number}.txt", f"Document {number}.")
    run = Run(bucket)

    class StopsWhenItEmbeds(TinyEmbedder):
        def encode(self, texts: Any) -> Any:
            run.stop.set()
            return super().encode(texts)

    run.embedder = StopsWhenItEmbeds("cpu")
    run.consumer.run()
    assert bucket.depth() == 40
    assert run.ingests == 1
    came = bucket.sqs.receive_message(QueueUrl=bucket.url, MaxNumberOfMessages=10)
    assert len(came["Messages"]) == 10, "at once, and not when the visibility would have ended"
    with Lease(bucket.index, "passages-tiny-128", seconds=30, wait=0):
        """The lease is given back as well."""


def test_a_stop_also_ends_the_wait_for_another_ingest(bucket: Bucket) -> None:
    bucket.upload("one.txt", "About whales.")
    run = Run(bucket)
    with Lease(bucket.index, "passages-tiny-128", seconds=30, wait=0), run.running():
        wait_until(lambda: run.ingests)
        began = time.monotonic()
        run.stop.set()
    assert time.monotonic() - began < 5
    assert bucket.depth() == 1


def test_what_the_storage_denies_is_tried_again_and_its_message_kept(bucket: Bucket) -> None:
    bucket.upload("one.txt", "About whales.")
    # S3 lists what lies in an archive, and denies to give it.
    bucket.s3.put_object(Bucket=bucket.name, Key="documents/away.txt", Body=b"x", StorageClass="GLACIER")
    bucket.s3.put_object(Bucket=bucket.name, Key="documents/for-ever.txt", Body=b"x", StorageClass="GLACIER")
    run = Run(bucket, pace=Pace(poll=1, settle=1, visibility=1, strange=0, again=0))
    inner = run.ingest

    def given_after_the_first() -> list[str]:
        unread = inner()
        if run.ingests == 1:
            assert (bucket.depth(), bucket.documents()) == (3, {"one.txt"})
            bucket.s3.put_object(Bucket=bucket.name, Key="documents/away.txt", Body=b"It is back.")
        return unread

    run.ingest = given_after_the_first  # type: ignore[method-assign]
    with run.running():
        wait_until(lambda: bucket.depth() == 0)
    assert bucket.documents() == {"one.txt", "away.txt"}
    assert (run.ingests, bucket.depth(bucket.dead)) == (3, 0), "none waits for ever for what never comes"
    assert [line for line in run.said if "tried again" in line] == [
        "INFO: 2 documents that could not be read are tried again",
        "INFO: 1 documents that could not be read are tried again",
    ]


def test_the_ingest_reads_below_its_source_only_and_writes_below_the_index(
    bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    """example-infra lets the batch task read documents/*, and nothing of the name documents itself."""
    bucket.upload("one.txt", "About whales.")
    with caplog.at_level(logging.INFO, logger="werkzeug"):
        ingest_once(Run(bucket).options, tiny_settings(bucket.index), TinyEmbedder("cpu"))
    asked = re.findall(rf"(GET|HEAD|PUT|DELETE) /{bucket.name}/([^ ?]*)", caplog.text)
    assert {key.split("/")[0] for _, key in asked} == {"documents", "index"}
    assert [key for _, key in asked if "/" not in key] == []
    assert {method for method, key in asked if key.startswith("documents/")} == {"HEAD", "GET"}


def test_a_source_without_objects_is_empty_and_one_object_is_no_source(bucket: Bucket) -> None:
    bucket.s3.put_object(Bucket=bucket.name, Key="lone.md", Body=b"x")
    assert DocumentSource(f"s3://{bucket.name}/none").list() == []
    with pytest.raises(SourceUnusable, match=r"lone\.md is a file"):
        DocumentSource(f"s3://{bucket.name}/lone.md").list()
    with pytest.raises(SourceUnusable, match="cannot be listed"):
        DocumentSource("s3://no-such-bucket/none").list()


class Agent(BaseHTTPRequestHandler):
    """The container agent's endpoint for task protection."""

    asked: list[tuple[str, dict[str, Any]]]

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Agent.asked.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_the_task_is_protected_while_it_ingests_and_its_messages_stay_with_it(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    Agent.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Agent)
    threading.Thread(target=server.serve_forever).start()
    monkeypatch.setenv("ECS_AGENT_URI", f"http://127.0.0.1:{server.server_port}/api/x")
    run = Run(bucket, pace=Pace(poll=1, settle=1, visibility=2, strange=0, again=0))
    seen_by_others: list[Any] = []

    def slow() -> list[str]:
        run.ingests += 1
        end = time.monotonic() + 3
        while time.monotonic() < end:
            seen_by_others.extend(run.queue.receive(wait=0))
            time.sleep(0.1)
        return []

    run.ingest = slow  # type: ignore[method-assign]
    bucket.send('{"ingest": "schedule"}')
    try:
        with run.running():
            wait_until(lambda: bucket.depth() == 0)
    finally:
        server.shutdown()
        server.server_close()
    assert (run.ingests, seen_by_others) == (1, [])
    path, first = Agent.asked[0]
    assert path == "/api/x/task-protection/v1/state"
    assert first == {"ProtectionEnabled": True, "ExpiresInMinutes": 1}
    assert [body["ProtectionEnabled"] for _, body in Agent.asked].count(True) >= 3
    assert Agent.asked[-1][1] == {"ProtectionEnabled": False}


def test_an_agent_that_does_not_answer_stops_no_ingest(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as talker:

        def talk() -> None:
            caller, _ = talker.accept()
            with caller:
                caller.sendall(b"no HTTP\r\n\r\n")

        threading.Thread(target=talk, daemon=True).start()
        for agent in ("http://127.0.0.1:9", "no-url", f"http://127.0.0.1:{talker.getsockname()[1]}"):
            monkeypatch.setenv("ECS_AGENT_URI", agent)
            protect(minutes=10)
    assert caplog.text.count("the task could not be protected from scale-in") == 3


def test_the_process_drains_the_queue_and_ends_with_0_on_sigterm(bucket: Bucket) -> None:
    bucket.upload("one.txt", "About whales.")
    bucket.upload("broken.pdf", "%PDF-1.4 broken")
    ours = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    with subprocess.Popen(
        [sys.executable, "-m", "rag_service.ingest", bucket.source, "--queue", bucket.url],
        env=process_environment(INDEX_URI=bucket.index, **ours),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            wait_until(lambda: bucket.depth() == 0 or process.poll() is not None)
            process.send_signal(signal.SIGTERM)
            out, said = process.communicate(timeout=40)
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert f"INFO: waiting for {bucket.url}" in said
    assert "ERROR: broken.pdf: The PDF cannot be read" in said
    assert json.loads(out.splitlines()[0])["written"] == 1
    assert "Traceback" not in said
