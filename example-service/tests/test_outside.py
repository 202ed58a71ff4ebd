"""What is seen of the service from outside: the metric for scaling, request ids, the access log."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import jsonschema
import pytest

from generator_stand_in import stand_in
from rag_service.cloudwatch import InFlight, home_of
from rag_service.settings import Settings
from running import running, wait_until

QUESTION = "When does the circuit breaker roll back?"
_TEXT = {"type": "string", "minLength": 1, "maxLength": 255}
EMBEDDED_METRIC_FORMAT = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "additionalProperties": False,
            "properties": {
                "Timestamp": {"type": "integer"},
                "CloudWatchMetrics": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "additionalProperties": False,
                        "properties": {
                            "Namespace": _TEXT,
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "array", "maxItems": 30, "items": _TEXT},
                            },
                            "Metrics": {
                                "type": "array",
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "Name": _TEXT,
                                        "Unit": {"enum": ["Count", "Seconds", "Bytes", "Percent", "None"]},
                                        "StorageResolution": {"enum": [1, 60]},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}
"""The rules of "Specification: Embedded metric format" in the CloudWatch User Guide."""


@contextmanager
def task_metadata(answer: bytes) -> Iterator[str]:
    """ECS's endpoint for the task's own metadata."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/v4/abc/task"
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v4/abc"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def lines_of(text: str, member: str) -> list[dict[str, Any]]:
    read = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in read if member in line]


def test_a_streamed_answer_is_in_flight_until_its_end_and_cloudwatch_hears_of_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = {
        "Cluster": "arn:aws:ecs:eu-central-1:123456789012:cluster/ki-cluster",
        "ServiceName": "ki-rag-api",
    }
    with task_metadata(json.dumps(task).encode()) as address, stand_in(delay=1) as generator:
        monkeypatch.setenv("ECS_CONTAINER_METADATA_URI_V4", address)
        changed = settings.model_copy(update={"openai_base_url": generator.url, "metric_seconds": 0.05})
        said = ""
        with running(changed) as service:
            body = {"question": QUESTION, "stream": True}
            with httpx.stream("POST", f"{service.url}/ask", json=body, timeout=20) as answer:
                events = answer.iter_lines()
                assert next(events) == "event: sources"
                assert "rag_requests_in_flight 1.0" in service.metrics()

                def heard() -> bool:
                    nonlocal said
                    said += capsys.readouterr().out
                    return any(line["rag_requests_in_flight"] == 1 for line in lines_of(said, "_aws"))

                wait_until(heard)
                assert [line for line in events if line == "event: done"]
            wait_until(lambda: "rag_requests_in_flight 0.0" in service.metrics())
    line = lines_of(said, "_aws")[-1]
    jsonschema.validate(line, EMBEDDED_METRIC_FORMAT)
    [directive] = line["_aws"]["CloudWatchMetrics"]
    assert directive == {
        "Namespace": "RagService",
        "Dimensions": [["ClusterName", "ServiceName"]],
        "Metrics": [{"Name": "rag_requests_in_flight", "Unit": "Count"}],
    }
    assert (line["ClusterName"], line["ServiceName"]) == ("ki-cluster", "ki-rag-api")
    assert line["_aws"]["Timestamp"] > 1_700_000_000_000


@pytest.mark.parametrize("answer", [b"{}", b"no JSON", b'{"Cluster": "alone"}', b"[]"])
def test_no_service_no_metric(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: bytes
) -> None:
    """A task that belongs to no service, and an endpoint that says nothing of use."""
    with task_metadata(answer) as address:
        monkeypatch.setenv("ECS_CONTAINER_METADATA_URI_V4", address)
        with running(settings.model_copy(update={"metric_seconds": 0.01})) as service:
            service.client.post("/search", json={"query": QUESTION}).raise_for_status()
    assert not lines_of(capsys.readouterr().out, "_aws")


HOMES = {
    "the settings": (("a", "b"), {"Cluster": "c", "ServiceName": "d"}, ("a", "b")),
    "the metadata, cluster by name": (("", ""), {"Cluster": "c", "ServiceName": "d"}, ("c", "d")),
    "the cluster's ARN": (("", ""), {"Cluster": "arn:aws:ecs:r:1:cluster/c", "ServiceName": "d"}, ("c", "d")),
    "Fargate has no service's name": (("", "b"), {"Cluster": "c"}, ("c", "b")),
    "no service": (("", ""), {"Cluster": "c", "ServiceName": None}, None),
    "no cluster": (("", "b"), {}, None),
}


@pytest.mark.parametrize(("given", "task", "wanted"), HOMES.values(), ids=HOMES.keys())
def test_whose_metric_it_is(
    given: tuple[str, str], task: dict[str, Any], wanted: tuple[str, str] | None
) -> None:
    home = home_of(*given, task)
    assert (home and (home.cluster, home.service)) == wanted


def test_the_mean_counts_what_came_and_went_between_two_looks() -> None:
    load = InFlight(100.0)
    load.change(1, 101.0)
    load.change(1, 102.0)
    load.change(-1, 106.0)
    load.change(-1, 108.0)
    assert load.take_mean(110.0) == pytest.approx((1 + 2 * 4 + 2) / 10)
    assert load.take_mean(120.0) == 0
    load.change(1, 120.0)
    assert load.take_mean(120.0) == 1
    assert load.take_mean(125.0) == 1
