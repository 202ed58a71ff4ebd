"""A scripted AWS on loopback: it answers what a world says, on a stepped clock, and decides nothing.

Nothing here places a task, counts a failure or judges a health check: what is shown at a second was written
down (`scripted_state`). This module is the wire: AWS JSON, query (XML) and CBOR through botocore's service
models, errors that a world asks for, a record of every call, and the clock that the program sleeps on.
"""

from __future__ import annotations

import json
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import botocore
import botocore.session
from scripted_names import Refusal
from scripted_state import State

START = 1_795_420_800.0
"""2026-11-23T08:00:00Z, where the clock of every world begins."""
CHANGING = ("Update", "Register", "Create", "Delete", "Deregister", "Stop", "Run", "Start", "Put", "Continue")
_SIGNED_AS = {
    "elasticloadbalancing": "elbv2",
    "monitoring": "cloudwatch",
    "tagging": "resourcegroupstaggingapi",
}
_MESSAGES = {
    "ThrottlingException": "Rate exceeded",
    "Throttling": "Rate exceeded",
    "AccessDeniedException": "User: arn:aws:sts::123456789012:assumed-role/deploy/ci is not authorized to "
    "perform: {action} because no identity-based policy allows the {action} action",
    "AccessDenied": "User: arn:aws:sts::123456789012:assumed-role/deploy/ci is not authorized to perform: "
    "{action} because no identity-based policy allows the {action} action",
    "ServiceUnavailableException": "Service Unavailable",
    "ServerException": "An internal error occurred.",
    "InternalFailure": "The request processing has failed because of an unknown error, exception or failure.",
    "ExpiredTokenException": "The security token included in the request is expired",
}
_STATUSES = {"ServiceUnavailableException": 503, "ServerException": 500, "InternalFailure": 500}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came over the wire: json, query or cbor."""

    service: str
    operation: str
    parameters: Mapping[str, Any]
    wire: str


@dataclass(slots=True)
class Call:
    """One request: when (seconds since zero), what, with which parameters, and how it was answered."""

    at: float
    service: str
    operation: str
    parameters: Mapping[str, Any]
    error: str = ""


@dataclass(slots=True)
class ScriptedAws:
    """One world that answers: its clock, its calls, and what it could not answer."""

    state: State
    now: float = START
    calls: list[Call] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    endpoint: str = ""
    cancel_at: float | None = None
    on_cancel: Callable[[], None] = lambda: None
    mangled: Callable[[Asked, bytes], bytes] = lambda _asked, answer: answer
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _used: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Put the world's zero where the clock begins."""
        self.state.now = self.now
        self.state.origin = START + self.state.before

    # The clock

    def clock(self, advance: float) -> dict[str, Any]:
        """Advance the clock; stop short, and cancel the program, where the world says so."""
        target = self.now + advance
        with self._lock:
            cancel = self.cancel_at
            if cancel is not None and self.state.started and self.state.origin + cancel <= target:
                target, self.cancel_at = max(self.state.origin + cancel, self.now), None
                self.now = self.state.now = target
                self.on_cancel()
            self.now = self.state.now = target
        return {"now": self.now, "mode": "stepped", "speed": 0.0}

    @property
    def seconds(self) -> float:
        """Return the seconds since zero."""
        return self.now - self.state.origin

    @property
    def shown_now(self) -> float:
        """Return the time by AWS's clock, from which the program's may differ."""
        return self.now + self.state.skew

    # Requests

    def answer(self, asked: Asked) -> tuple[int, bytes, str]:
        """Return status, body and content type of an operation's answer."""
        service, operation, parameters = asked.service, asked.operation, asked.parameters
        with self._lock:
            call = Call(self.seconds, service, operation, parameters)
            self.calls.append(call)
            try:
                body = self._body(service, operation, parameters)
                shown_from = self.state.origin + self.state.skew
                answer, content_type = _written(asked, body, shown_from, self.state.lenient)
                return 200, self.mangled(asked, answer), content_type
            except Refusal as error:
                call.error = error.code
                return error.status, *_refused(asked.wire, error)
            except Reset as error:
                call.error = str(error)
                raise
            except Exception as error:  # noqa: BLE001 (whatever it is, the test shows it)
                self.problems.append(f"{service}.{operation}: {type(error).__name__}: {error}")
                call.error = "problem"
                problem = Refusal("ServerException", f"the scripted AWS has no answer: {error}", 500)
                return 500, *_refused(asked.wire, problem)

    def _body(self, service: str, operation: str, parameters: Mapping[str, Any]) -> Any:
        for number, fault in enumerate(self.state.faults):
            if self._strikes(number, fault, service, operation, parameters):
                return self._fault(fault, service, operation, parameters)
        ask = getattr(self.state, f"{service}_{botocore.xform_name(operation)}", None)
        if ask is None:
            raise _error("AccessDeniedException", f"{service}:{operation}")
        with self.state.seen_as(operation):
            return self.state.patched(operation, ask(parameters))

    def _strikes(
        self,
        number: int,
        fault: Mapping[str, Any],
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
    ) -> bool:
        wanted = fault["of"]
        names = {operation, f"{service}:{operation}", f"{service}:*", "*"}
        if not names & set(wanted if isinstance(wanted, list) else [wanted]):
            return False
        if not self.state.is_in(fault):
            return False
        if "where" in fault and fault["where"] not in json.dumps(parameters):
            return False
        self._used[number] += 1
        before = fault.get("skip", 0)
        return before < self._used[number] <= before + fault.get("times", 1_000_000)

    def _fault(
        self, fault: Mapping[str, Any], service: str, operation: str, parameters: Mapping[str, Any]
    ) -> Any:
        if fault.get("lost"):
            getattr(self.state, f"{service}_{botocore.xform_name(operation)}")(parameters)
            raise Reset("lost")
        if fault.get("reset"):
            raise Reset("reset")
        if "body" in fault:
            return fault["body"]
        code = fault["error"]
        raise _error(code, f"{service}:{operation}", fault.get("message"), fault.get("status"))


class Reset(Exception):
    """The connection is to be closed without an answer."""


def _error(code: str, action: str, message: str | None = None, status: int | None = None) -> Refusal:
    text = (message or _MESSAGES.get(code, code)).replace("{action}", action)
    return Refusal(code, text, status or _STATUSES.get(code, 400))


# What botocore's service models say of an answer


@cache
def _model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


@cache
def _targets() -> dict[str, str]:
    names = (
        *("ecs", "ecr", "logs", "secretsmanager", "ssm", "events"),
        *("cloudwatch", "application-autoscaling", "resourcegroupstaggingapi", "codedeploy"),
    )
    return {_model(name).metadata["targetPrefix"]: name for name in names}


def _shaped(shape: Any, value: Any, origin: float, lenient: bool) -> Any:
    """Return *value* with absolute times, and hold it against the shape."""
    if value is None:
        return None
    match shape.type_name:
        case "structure":
            unknown = set(value) - set(shape.members)
            assert lenient or not unknown, f"{shape.name} has no member {sorted(unknown)}"
            return {
                name: _shaped(shape.members[name], item, origin, lenient) if name in shape.members else item
                for name, item in value.items()
            }
        case "list":
            return [_shaped(shape.member, item, origin, lenient) for item in value]
        case "map":
            return {key: _shaped(shape.value, item, origin, lenient) for key, item in value.items()}
        case "timestamp":
            return origin + value if isinstance(value, int | float) else value
        case "string":
            assert lenient or isinstance(value, str), f"{shape.name} is {value!r}"
    return value


def _written(asked: Asked, body: Any, origin: float, lenient: bool) -> tuple[bytes, str]:
    if isinstance(body, str):
        return body.encode(), "application/x-amz-json-1.1"
    model, operation = _model(asked.service), asked.operation
    output = model.operation_model(operation).output_shape
    shaped = _shaped(output, body, origin, lenient) if output else {}
    match asked.wire:
        case "query":
            inner = "".join(_xml(output, shaped, "")) if output else ""
            result = f"<{operation}Result>{inner}</{operation}Result>"
            meta = "<ResponseMetadata><RequestId>scripted</RequestId></ResponseMetadata>"
            name = model.metadata["xmlNamespace"]
            text = f'<{operation}Response xmlns="{name}">{result}{meta}</{operation}Response>'
            return text.encode(), "text/xml"
        case "cbor":
            return _cbor(shaped), "application/cbor"
        case _:
            return json.dumps(shaped).encode(), "application/x-amz-json-1.1"


def _xml(shape: Any, value: Any, name: str) -> Iterator[str]:
    if value is None:
        return
    opened, closed = (f"<{name}>", f"</{name}>") if name else ("", "")
    match shape.type_name:
        case "structure":
            yield opened
            for member, item in value.items():
                yield from _xml(shape.members[member], item, member)
            yield closed
        case "list":
            yield opened
            for item in value:
                yield from _xml(shape.member, item, shape.member.serialization.get("name", "member"))
            yield closed
        case "boolean":
            yield f"{opened}{str(value).lower()}{closed}"
        case "timestamp":
            yield f"{opened}{datetime.fromtimestamp(value, UTC).isoformat()}{closed}"
        case _:
            yield f"{opened}{escape(str(value))}{closed}"


def _cbor(value: Any) -> bytes:
    def head(major: int, number: int) -> bytes:
        return (
            bytes([major << 5 | 24, number]) if number < 256 else struct.pack(">BI", major << 5 | 26, number)
        )

    match value:
        case None:
            return b"\xf6"
        case bool():
            return b"\xf5" if value else b"\xf4"
        case int():
            return head(0, value)
        case float():
            return struct.pack(">Bd", 0xFB, value)
        case str():
            text = value.encode()
            return head(3, len(text)) + text
        case list() | tuple():
            return head(4, len(value)) + b"".join(map(_cbor, value))
        case dict():
            return head(5, len(value)) + b"".join(_cbor(k) + _cbor(v) for k, v in value.items())
    raise TypeError(type(value))


def _refused(wire: str, error: Refusal) -> tuple[bytes, str]:
    match wire:
        case "query":
            code, text = escape(error.code), escape(error.text)
            body = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error>"
            return (
                f"<ErrorResponse>{body}<RequestId>scripted</RequestId></ErrorResponse>".encode(),
                "text/xml",
            )
        case "cbor":
            return _cbor({"__type": error.code, "message": error.text}), "application/cbor"
        case _:
            text = json.dumps({"__type": error.code, "message": error.text})
            return text.encode(), "application/x-amz-json-1.1"


# HTTP


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    aws: ScriptedAws

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/_clock":
            self._send(200, json.dumps(self.aws.clock(0.0)).encode(), "application/json")
        else:
            self._send(404, b"", "text/plain")

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        if path == "/_clock":
            moved = self.aws.clock(float(json.loads(content).get("advance", 0)))
            self._send(200, json.dumps(moved).encode(), "application/json")
            return
        try:
            self._send(*self.aws.answer(self._asked(path, content)))
        except Reset:
            self.close_connection = True

    def _asked(self, path: str, content: bytes) -> Asked:
        """Return what a request asks, and how it is to be answered."""
        prefix, _, operation = (self.headers.get("X-Amz-Target") or "").partition(".")
        if operation:
            return Asked(_targets()[prefix], operation, json.loads(content or b"{}"), "json")
        signed_as = (self.headers.get("Authorization") or "").partition("Credential=")[2].split("/")
        signer = signed_as[3] if len(signed_as) > 3 else "sts"
        service = _SIGNED_AS.get(signer, signer)
        if "/operation/" in path:
            return Asked(service, path.rpartition("/")[2], {}, "cbor")
        form = parse_qs(content.decode(), keep_blank_values=True)
        sent = {key: values[0] for key, values in form.items()}
        return Asked(service, sent.get("Action", "Unknown"), sent, "query")

    def _send(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response_only(status)
        self.send_header("Date", formatdate(self.aws.shown_now, usegmt=True))
        self.send_header("x-amzn-RequestId", "scripted")
        if content_type == "application/cbor":
            self.send_header("smithy-protocol", "rpc-v2-cbor")
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        """A client that went away is no error of ours."""


@contextmanager
def serve(state: State) -> Iterator[ScriptedAws]:
    """Serve a world on loopback."""
    aws = ScriptedAws(state)
    with served(aws):
        yield aws


@contextmanager
def served(aws: Any) -> Iterator[None]:
    """Serve what answers as a world does, and give it its endpoint."""
    handler = type("Handler", (_Handler,), {"aws": aws})
    with _Server(("127.0.0.1", 0), handler) as server:
        aws.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
