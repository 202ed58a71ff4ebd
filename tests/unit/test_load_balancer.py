"""Load balancers over loopback, without Docker: rules, headers, their own answers, the bridge's gateway."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from typing import Any

import pytest

from ecs_gpu_deploy.ecs_model.statuses import TargetState
from ecs_gpu_deploy.sandbox.neighbours.load_balancers import CheckedGroup, Listener, Rule
from ecs_gpu_deploy.sandbox.runtime.choose_target import Target
from ecs_gpu_deploy.sandbox.runtime.load_balancer import LoadBalancers, Routes

FORWARD = Rule(forward=(("web", 1.0),))


class Service(BaseHTTPRequestHandler):
    """Say what was asked, on one connection after the other."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0) if self.command == "POST" else 0
        said = f"{self.command} {self.path} {self.rfile.read(length).decode()}\n{self.headers}".encode()
        self.send_response(200 if self.path != "/sick" else 500)
        self.send_header("Content-Length", str(len(said)))
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said)

    do_POST = do_HEAD = do_GET  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: object) -> None:
        """Say nothing on stderr."""


@contextmanager
def service() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def balancers() -> Iterator[tuple[LoadBalancers, SimpleQueue[Any]]]:
    verdicts: SimpleQueue[Any] = SimpleQueue()
    running = LoadBalancers(lambda *verdict: verdicts.put(verdict), speed=100.0)
    try:
        yield running, verdicts
    finally:
        running.close()


def listener(*rules: Rule, name: str = "web", port: int = 80) -> Listener:
    return Listener(name=name, port=port, protocol="http", idle_seconds=5.0, rules=rules)


def target(port: int, state: TargetState = TargetState.HEALTHY) -> Target:
    return Target(group_arn="web", task_arn="task", address=("i-1", port), host_port=port, state=state)


def asked(address: str, path: str, method: str = "GET", body: str | None = None, **headers: str) -> Any:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()


def test_a_request_goes_through_whole_and_its_answer_comes_back_whole() -> None:
    with service() as port, balancers() as (running, _):
        running.take(Routes(listeners=(listener(FORWARD),), targets=(target(port),)))
        at = running.addresses()["web"]
        status, said, headers = asked(at, "/a%2Fb?c=%20d", "POST", "whole", Host="shop.example")
        assert status == 200
        assert said.startswith("POST /a%2Fb?c=%20d whole\n")
        assert "Host: shop.example" in said
        assert "X-Forwarded-Proto: http" in said
        assert "X-Forwarded-For: 127.0.0.1" in said
        assert headers.get_all("Set-Cookie") == ["a=1", "b=2"]


def test_a_head_has_no_body_and_an_expectation_is_met() -> None:
    with service() as port, balancers() as (running, _):
        running.take(Routes(listeners=(listener(FORWARD),), targets=(target(port),)))
        at = running.addresses()["web"]
        status, said, headers = asked(at, "/", "HEAD")
        assert (status, said) == (200, "")
        assert int(headers["Content-Length"]) > 0
        assert asked(at, "/", "POST", "late", Expect="100-continue")[1].startswith("POST / late")


def test_a_client_of_http_1_0_that_names_no_host_is_answered() -> None:
    with service() as port, balancers() as (running, _):
        running.take(Routes(listeners=(listener(FORWARD),), targets=(target(port),)))
        at = int(running.addresses()["web"].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", at), timeout=10) as connection:
            connection.sendall(b"GET /old HTTP/1.0\r\n\r\n")
            with connection.makefile("rb") as answer:
                assert b"GET /old " in answer.read()


@pytest.mark.parametrize(
    ("asked_for", "answered"),
    [
        pytest.param(b"GET http://shop.example/a?b=c HTTP/1.1", b"GET /a?b=c ", id="a whole URL"),
        pytest.param(b"GET /" + b"q" * 12_000 + b" HTTP/1.1", b"qqq", id="a long path"),
        pytest.param(b"GET / HTTP/1.1\r\nCookie: " + b"c" * 12_000, b"ccc", id="a long header"),
        pytest.param(b"OPTIONS * HTTP/1.1", b" 400 ", id="the server itself"),
        pytest.param(b"CONNECT shop.example:443 HTTP/1.1", b" 400 ", id="a tunnel"),
        pytest.param(b"GET /" + b"q" * 20_000 + b" HTTP/1.1", b" 400 ", id="too long a path"),
        pytest.param(b"\x16\x03\x01\x02", b" 400 ", id="TLS"),
    ],
)
def test_an_odd_request_goes_through_or_is_the_clients_fault(
    asked_for: bytes, answered: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with service() as port, balancers() as (running, _):
        running.take(Routes(listeners=(listener(FORWARD),), targets=(target(port),)))
        at = int(running.addresses()["web"].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", at), timeout=10) as connection:
            connection.sendall(asked_for + b"\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
            with connection.makefile("rb") as answer:
                assert answered in answer.read()
    assert caplog.records == []


@pytest.mark.parametrize(
    ("path", "host", "answered"),
    [
        pytest.param("/old/page", "any", (410, "gone"), id="by path"),
        pytest.param("/", "API.example", (200, None), id="by host, without case"),
        pytest.param("/", "any", (503, ""), id="the default action"),
    ],
)
def test_rules_are_asked_in_their_order(path: str, host: str, answered: tuple[int, str | None]) -> None:
    rules = (
        Rule(paths=("/old/*",), answer=(410, "text/plain", "gone")),
        Rule(hosts=("api.*",), forward=FORWARD.forward),
        Rule(),
    )
    with service() as port, balancers() as (running, _):
        running.take(Routes(listeners=(listener(*rules),), targets=(target(port),)))
        status, said, _ = asked(running.addresses()["web"], path, Host=host)
        assert (status, said if answered[1] is not None else None) == answered


def test_what_no_target_can_answer_the_load_balancer_answers_itself() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody, balancers() as (running, _):
        port = nobody.getsockname()[1]
        nobody.close()
        running.take(Routes(listeners=(listener(FORWARD),)))
        at = running.addresses()["web"]
        assert asked(at, "/")[0] == 503
        for state, status in ((TargetState.INITIAL, 503), (TargetState.HEALTHY, 502)):
            running.take(Routes(listeners=(listener(FORWARD),), targets=(target(port, state),)))
            assert asked(at, "/")[0] == status


@pytest.mark.parametrize(
    ("path", "codes", "verdict"),
    [
        pytest.param("/health", ((200, 200),), (TargetState.HEALTHY, ("", "")), id="healthy"),
        pytest.param("/sick", ((500, 503),), (TargetState.HEALTHY, ("", "")), id="what the matcher takes"),
        pytest.param(
            "/sick",
            ((200, 399),),
            (
                TargetState.UNHEALTHY,
                ("Target.ResponseCodeMismatch", "Health checks failed with these codes: [500]"),
            ),
            id="what it does not take",
        ),
    ],
)
def test_a_target_is_checked_as_its_group_says(path: str, codes: Any, verdict: Any) -> None:
    with service() as port, balancers() as (running, verdicts):
        group = CheckedGroup(arn="web", path=path, codes=codes)
        new = target(port, TargetState.INITIAL)
        running.take(Routes(listeners=(listener(FORWARD),), groups={"web": group}, targets=(new,)))
        assert verdicts.get(timeout=10) == (new, *verdict)


def test_a_group_that_is_changed_changes_the_checks_of_its_targets() -> None:
    with service() as port, balancers() as (running, verdicts):
        new = target(port, TargetState.INITIAL)

        def checked(path: str) -> TargetState:
            group = CheckedGroup(arn="web", path=path)
            running.take(Routes(listeners=(listener(FORWARD),), groups={"web": group}, targets=(new,)))
            state: TargetState = verdicts.get(timeout=10)[1]
            return state

        assert checked("/health") is TargetState.HEALTHY
        assert checked("/sick") is TargetState.UNHEALTHY
        assert checked("/health") is TargetState.HEALTHY


def test_a_bracket_in_the_pattern_of_a_rule_is_a_bracket() -> None:
    rule = Rule(paths=("/[ab]/*",))
    assert rule.takes("/[ab]/one", "")
    assert not rule.takes("/a/one", "")


def test_each_listener_has_an_address_until_it_is_gone() -> None:
    with balancers() as (running, _):
        listeners = listener(FORWARD), listener(FORWARD, port=443), listener(FORWARD, name="other")
        running.take(Routes(listeners=listeners))
        named = running.addresses()
        assert set(named) == {"web", "web:443", "other"}
        running.take(Routes(listeners=listeners[:1]))
        assert running.addresses() == {"web": named["web"]}
        with pytest.raises(ConnectionRefusedError):
            asked(named["other"], "/")


def test_the_gateway_of_the_bridge_leads_to_loopback() -> None:
    with service() as port, balancers() as (running, _):
        running.listen_at_gateway("192.0.2.254", port)  # no address of this machine: nothing to do
        running.listen_at_gateway("127.0.0.2", port)
        assert asked(f"127.0.0.2:{port}", "/over")[1].startswith("GET /over")
