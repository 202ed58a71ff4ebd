"""What is seen of the service from outside: the metric for scaling, request ids, the access log."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from conftest import tiny_settings, unless_it_can_be_had
from generator_stand_in import stand_in
from rag_service.access import hash_of
from rag_service.cloudwatch import InFlight, home_of
from rag_service.settings import Settings
from running import Running, process_environment, running, wait_until

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

    def respond(path: str, _body: bytes) -> bytes:
        assert path == "/v4/abc/task"
        return answer

    with http_server(respond) as url:
        yield f"{url}/v4/abc"


@contextmanager
def http_server(respond: Callable[[str, bytes], bytes]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"] or 0))
            packed = self.headers["content-encoding"] == "gzip"
            answer = respond(self.path, gzip.decompress(body) if packed else body)
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
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


NVML = r"""
typedef unsigned int u; typedef unsigned long long ull;
static u one; static const u gone = 15, unsupported = 3;
int nvmlInitWithFlags(u flags) { return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return "error"; }
int nvmlDeviceGetCount_v2(u *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(u index, void **gpu) { *gpu = (char *)&one + index; return 0; }
static int lost(void *gpu) { return gpu != (void *)&one; }
int nvmlDeviceGetUUID(void *gpu, char *uuid, u length) {
  uuid[0] = 'G'; uuid[1] = lost(gpu) ? '1' : '0'; uuid[2] = 0; return 0; }
int nvmlDeviceGetUtilizationRates(void *gpu, u *rates) {
  rates[0] = 25; rates[1] = 7; return lost(gpu) ? gone : 0; }
int nvmlDeviceGetMemoryInfo(void *gpu, ull *memory) {
  memory[0] = 24000000000ull; memory[1] = 21000000000ull; memory[2] = 3000000000ull;
  return lost(gpu) ? gone : 0; }
int nvmlDeviceGetTemperature(void *gpu, int sensor, u *celsius) {
  *celsius = 61; return lost(gpu) ? gone : 0; }
int nvmlDeviceGetPowerUsage(void *gpu, u *milliwatts) { *milliwatts = 0; return unsupported; }
"""
"""The driver's library with two GPUs: one that tells no power, and one that fell off the bus."""
SCRAPE = (
    "from prometheus_client import generate_latest; from rag_service.metrics import Metrics; "
    "print(generate_latest(Metrics().registry).decode())"
)


@pytest.mark.parametrize("driver", ["there", "not there"])
def test_gpus_are_read_from_the_driver_and_what_it_does_not_tell_is_absent(
    tmp_path: Path, driver: str
) -> None:
    unless_it_can_be_had(None if shutil.which("cc") else "cc, for a driver's library without a GPU")
    if driver == "there":
        library = str(tmp_path / "libnvidia-ml.so.1")
        command = ["cc", "-shared", "-fPIC", "-nostdlib", "-w", "-x", "c", "-", "-o", library]
        subprocess.run(command, input=NVML, text=True, check=True)
    done = subprocess.run(
        [sys.executable, "-c", SCRAPE],
        env=process_environment(LD_LIBRARY_PATH=str(tmp_path)),
        capture_output=True,
        text=True,
        check=True,
    )
    values = dict(re.findall(r"^(rag_gpu_\w+)\{(?:gpu=.+)\} (.+)$", done.stdout, re.MULTILINE))
    told = {
        "rag_gpu_busy_ratio": "0.25",
        "rag_gpu_memory_used_bytes": "3e+09",
        "rag_gpu_memory_total_bytes": "2.4e+10",
        "rag_gpu_temperature_celsius": "61.0",
    }
    assert values == (told if driver == "there" else {})
    assert "G1" not in done.stdout, "of a GPU that is gone nothing is told"
    assert "rag_gpu_power_watts" not in done.stdout


TRACE = "0af7651916cd43dd8448eb211c80319c"
IDS: dict[str, tuple[dict[str, str], str]] = {
    "its own": ({"x-request-id": "job-7/a:b"}, "job-7/a:b"),
    "the trace's": ({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}, TRACE),
    "the load balancer's": (
        {"x-amzn-trace-id": "Root=1-67891233-abcdef01;Sampled=1"},
        "Root=1-67891233-abcdef01",
    ),
    "the trace's before one that is too long": (
        {"x-request-id": "a" * 129, "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"},
        TRACE,
    ),
    "a new one before one that is written for a log": ({"x-request-id": 'a" b'}, ""),
    "a new one before one that is no ASCII": ({"x-request-id": "ä"}, ""),
    "a new one before no trace": ({"traceparent": "00-zz-b7ad6b7169203331-01"}, ""),
    "the load balancer's before a trace of zeros, which names none": (
        {"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01", "x-amzn-trace-id": "Root=1-2"},
        "Root=1-2",
    ),
    "a new one": ({}, ""),
}


@pytest.mark.parametrize(("headers", "wanted"), IDS.values(), ids=IDS.keys())
def test_a_request_goes_by_its_senders_id(service: Running, headers: dict[str, str], wanted: str) -> None:
    sent = {name: value.encode("latin-1") for name, value in headers.items()}
    for path in ("/health", "/nothing"):
        [given] = service.client.get(path, headers=sent).headers.get_list("x-request-id")
        assert given == wanted or (not wanted and re.fullmatch("[0-9a-f]{32}", given))


def test_the_log_tells_who_asked_what_route_and_neither_question_nor_key(
    index_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    hashes = json.dumps({"app": hash_of("a-secret-key")})
    asked = tiny_settings(index_uri, auth="keys", api_key_hashes=hashes, access_log=True)
    key = {"authorization": "Bearer a-secret-key"}
    with running(asked) as service:
        service.client.post("/search", json={"query": QUESTION}, headers={**key, "x-request-id": "one"})
        service.client.post(
            "/search", json={"query": QUESTION}, headers={"authorization": "Bearer wrong-key"}
        )
        service.client.get("/a-path?a-parameter", headers=key)
        refused = service.client.post("/search", content=b"x" * 70_000, headers=key)
        assert (refused.status_code, refused.headers["connection"]) == (413, "close")
        service.client.post("/search", content=b"x" * 70_000)
        service.client.get("/health")
    said = capsys.readouterr().out
    lines = lines_of(said, "route")
    assert [(line["client"], line["method"], line["route"], line["status"]) for line in lines] == [
        ("app", "POST", "/search", 200),
        (None, "POST", "other", 401),
        ("app", "GET", "other", 404),
        ("app", "POST", "/search", 413),
        (None, "POST", "other", 401),
    ]
    assert lines[0]["request_id"] == "one"
    assert all(0 <= line["seconds"] < 60 and line["time"].endswith("+00:00") for line in lines)
    assert not [word for word in (QUESTION, "a-secret-key", "wrong-key", "a-path", "a-param") if word in said]


def test_no_log_where_none_is_wanted(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert Settings().access_log
    with running(settings) as service:
        service.client.post("/search", json={"query": QUESTION}).raise_for_status()
    assert not lines_of(capsys.readouterr().out, "route")


def test_a_trace_has_the_steps_of_a_request_and_links_its_batches(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spans: list[Span] = []
    names: set[str] = set()
    received: list[bytes] = []

    def collect(path: str, body: bytes) -> bytes:
        assert path == "/v1/traces"
        received.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names.update(
                a.value.string_value for a in resource.resource.attributes if a.key == "service.name"
            )
            for scope in resource.scope_spans:
                spans.extend(scope.spans)
        return b""

    with http_server(collect) as collector, stand_in() as generator:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
        update = {"openai_base_url": generator.url, "service_name": "ki-rag-api", "access_log": True}
        changed = settings.model_copy(update=update)
        with running(changed) as service:
            sent = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
            for body in ({"question": QUESTION}, {"question": QUESTION, "stream": True}):
                service.client.post("/ask", json=body, headers=sent).raise_for_status()
            service.client.post("/search", json={"query": ""})
    by_name: dict[str, list[Span]] = {}
    for span in spans:
        by_name.setdefault(span.name, []).append(span)
    assert names == {"ki-rag-api"}
    assert by_name.keys() == {
        *("POST /ask", "POST /search", "retrieval", "rerank", "generation", "batch search", "batch rerank")
    }
    asks = by_name["POST /ask"]
    assert {(span.trace_id.hex(), span.parent_span_id.hex()) for span in asks} == {
        (TRACE, "b7ad6b7169203331")
    }
    for step in ("retrieval", "rerank", "generation"):
        assert [span.parent_span_id for span in by_name[step]] == [span.span_id for span in asks], step
    for batch, step in (("batch search", "retrieval"), ("batch rerank", "rerank")):
        linked = [link.span_id for span in by_name[batch] for link in span.links]
        # The pairs of a request are of several lengths, and so perhaps in several batches.
        assert list(dict.fromkeys(linked)) == [span.span_id for span in by_name[step]], batch
        assert all(span.trace_id.hex() != TRACE and not span.parent_span_id for span in by_name[batch])
    [refused] = by_name["POST /search"]
    assert refused.trace_id.hex() != TRACE
    assert refused.status.code == Status.STATUS_CODE_UNSET, "a client's error is none of the service's"
    assert {a.key: a.value.int_value for a in refused.attributes}["http.response.status_code"] == 422
    assert QUESTION.encode() not in b"".join(received)
    logged = lines_of(capsys.readouterr().out, "route")
    assert [line["trace_id"] for line in logged][:2] == [TRACE, TRACE]


def test_a_collector_that_is_not_there_costs_nobody_an_answer(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with running(settings) as service:
        assert service.client.post("/search", json={"query": QUESTION}).status_code == 200


def test_without_an_endpoint_opentelemetrys_sdk_is_not_imported() -> None:
    """It would cost every start a quarter of a second; the API alone is imported by a library."""
    script = (
        "import sys; from rag_service.api import create_app; from rag_service.settings import Settings; "
        "create_app(Settings(auth='off')); print({'requests', 'opentelemetry.sdk'} & sys.modules.keys())"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=process_environment(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
