"""Ten thousand uploads while one consumer drains their queue: few ingests, one at a time, none lost.

The bucket is moto's, in a process of its own. Each upload's event, as EventBridge hands it on, goes into a
queue that speaks SQS's protocol: moto's needs the square of their number.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import boto3
import lancedb
from bench_process import verdict

from queue_stand_in import QueueStandIn, served
from running import free_port, process_environment, wait_until

UPLOADS = int(sys.argv[1]) if sys.argv[1:] else 10_000
AT_ONCE = 8
BUCKET = "uploads"
INDEX = f"s3://{BUCKET}/index"


def answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def local_aws() -> Iterator[None]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            os.environ |= {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                "AWS_REGION": "eu-central-1",
                "AWS_DEFAULT_REGION": "eu-central-1",
                "AWS_ACCESS_KEY_ID": "testing",
                "AWS_SECRET_ACCESS_KEY": "testing",
            }
            wait_until(lambda: answers(port), every=0.2)
            yield
        finally:
            server.terminate()


def documents() -> set[str]:
    table = lancedb.connect(INDEX, storage_options={"allow_http": "true"}).open_table("passages-tiny-128")
    return set(table.search().select(["document"]).limit(None).to_arrow()["document"].to_pylist())


def main() -> int:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    queue = QueueStandIn([])

    def upload(number: int) -> None:
        key = f"documents/{number}.txt"
        s3.put_object(Bucket=BUCKET, Key=key, Body=f"Document {number}.".encode())
        queue.send(
            json.dumps(
                {
                    "detail-type": "Object Created",
                    "source": "aws.s3",
                    "detail": {"bucket": {"name": BUCKET}, "object": {"key": key}},
                }
            )
        )

    def done() -> bool:
        return queue.deleted == UPLOADS or consumer.poll() is not None

    ours = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    with tempfile.TemporaryFile("w+") as log, served(queue) as endpoint:
        began = time.perf_counter()
        consumer = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "rag_service.ingest",
                f"s3://{BUCKET}/documents",
                "--queue",
                f"{endpoint}/uploads",
            ],
            env=process_environment(INDEX_URI=INDEX, AWS_ENDPOINT_URL_SQS=endpoint, **ours),
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(upload, range(UPLOADS)))
            uploaded = time.perf_counter() - began
            wait_until(done, seconds=1800, every=1)
            drained = time.perf_counter() - began
        finally:
            consumer.send_signal(signal.SIGTERM)
            consumer.wait(120)
        log.seek(0)
        said = log.read()
    ingests = len(re.findall(r"(?m)^INFO: an ingest for ", said))
    found = len(documents())
    print(f"     uploaded in {uploaded:.0f} s, the queue empty after {drained:.0f} s, {ingests} ingests")
    results = [
        verdict("documents in the index", found, UPLOADS, at_least=True, unit=""),
        verdict("messages left", len(queue.visible) + len(queue.in_flight), 0, unit=""),
        verdict("exit code of the consumer", consumer.returncode, 0, unit=""),
    ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    with local_aws():
        sys.exit(main())
