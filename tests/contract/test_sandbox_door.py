"""The sandbox's door: pages in a browser stay outside, and what cannot be read is answered with 400."""

import http.client
import json
import socket
from urllib.parse import urlsplit

import pytest

from sandbox_process import sandbox_thread

EVIL = "https://evil.example"
AWS = "ecs.eu-central-1.amazonaws.com"


@pytest.fixture(scope="module")
def sandbox():
    with sandbox_thread() as running:
        yield running


def ask(sandbox, method, path, body=None, **headers):
    """Send a request with exactly these headers; return status and text."""
    parts = urlsplit(sandbox.endpoint)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None and "Content_Length" not in headers:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/_sandbox/state", "/moto-api/data.json", "/"])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Host": "evil.example"}, id="a name that points here"),
        pytest.param({"Host": "127.0.0.1.evil.example"}, id="a name that looks like here"),
        pytest.param({"Host": "[::1"}, id="no name at all"),
        pytest.param({"Host": ""}, id="an empty name"),
        pytest.param({"Host": "localhost,evil.example"}, id="two names"),
        pytest.param({"Host": "evil.example@localhost"}, id="a user before the name"),
        pytest.param({"Origin": EVIL}, id="a page elsewhere"),
        pytest.param({"Origin": "null"}, id="a page of nowhere"),
        pytest.param({"Origin": "http://evil.s3-website.eu-central-1.amazonaws.com"}, id="a page kept in S3"),
        pytest.param({"Origin": "http://localhost@evil.example"}, id="a page with a user"),
        pytest.param({"Sec_Fetch_Site": "cross-site"}, id="an image of a page elsewhere"),
    ],
)
def test_other_sites_are_not_answered(path, headers, sandbox):
    status, text = ask(sandbox, "GET", path, **headers)
    assert status == 403
    assert "Traceback" not in text


@pytest.mark.parametrize("path", ["/_sandbox/clock", "/moto-api/reset"])
def test_the_sandbox_s_own_endpoints_take_no_other_origin_of_this_machine(path, sandbox):
    status, _ = ask(sandbox, "POST", path, b'{"advance": 5}', Origin="http://localhost:3000")
    assert status == 403


@pytest.mark.parametrize(
    "path",
    ["/_sandbox/clock", "//_sandbox/clock", "/%5fsandbox/clock", "/moto%2dapi/reset", "//moto-api/reset"],
)
@pytest.mark.parametrize("name", ["POST", "OPTIONS"])
def test_no_other_way_of_writing_the_path_lets_another_origin_in(path, name, sandbox):
    status, _ = ask(sandbox, name, path, b'{"advance": 5}', Origin="http://localhost:3000")
    assert status == 403


def test_another_port_of_this_machine_does_not_even_read_without_an_origin(sandbox):
    assert ask(sandbox, "GET", "/_sandbox/state", Sec_Fetch_Site="same-site")[0] == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", AWS])
def test_this_machine_and_aws_s_own_names_are_let_in(host, sandbox):
    assert ask(sandbox, "GET", "/_sandbox/state", Host=host)[0] == 200


def test_a_page_of_the_sandbox_itself_is_let_in(sandbox):
    own = urlsplit(sandbox.endpoint).netloc
    assert ask(sandbox, "GET", "/_sandbox/state", Host=own, Origin=f"http://{own}")[0] == 200


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "99999999999999999999", "1099511627776", "٣"])
def test_a_length_that_makes_no_sense_is_a_bad_request(length, sandbox):
    status, text = ask(sandbox, "POST", "/", Content_Length=length.encode())
    assert status == 400
    assert "Traceback" not in text


DEEP = b"[" * 200_000


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        pytest.param("/_sandbox/clock", {}, id="control"),
        pytest.param("/_sandbox/world", {}, id="world"),
        pytest.param("/", {"X_Amz_Target": "AmazonEC2ContainerServiceV20141113.ListClusters"}, id="ECS"),
        pytest.param("/", {"X_Amz_Target": "AmazonEC2ContainerRegistry_V20150921.DescribeImages"}, id="moto"),
    ],
)
def test_json_that_is_nested_too_deeply_is_a_bad_request(path, headers, sandbox):
    signed = "AWS4-HMAC-SHA256 Credential=AKIASANDBOX000000000/20261123/eu-central-1/ecs/aws4_request"
    if "X_Amz_Target" in headers:
        headers = {**headers, "Content_Type": "application/x-amz-json-1.1", "Authorization": signed}
    status, text = ask(sandbox, "POST", path, DEEP, **headers)
    assert status == 400
    assert "Traceback" not in text


def sent(sandbox, head, body=b"", *, ends=False):
    """Send bytes as they are; return what comes back until the server closes."""
    parts = urlsplit(sandbox.endpoint)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(head.replace("\n", "\r\n").replace("HOST", parts.netloc).encode() + body)
        if ends:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


SIGNED = (
    "Authorization: AWS4-HMAC-SHA256 Credential=AKIASANDBOX000000000/20261123/eu-central-1/{}/aws4_request"
)
TARGETS = {
    "ecs": "AmazonEC2ContainerServiceV20141113.DescribeClusters",
    "ecr": "AmazonEC2ContainerRegistry_V20150921.DescribeImages",
}


def head_of(service, *headers):
    """Return the head of a signed request of an SDK; its body's length is among *headers*."""
    kind = f"Content-Type: application/x-amz-json-1.1\nX-Amz-Target: {TARGETS[service]}"
    lines = ["POST / HTTP/1.1", "Host: HOST", "Connection: close", kind, SIGNED.format(service), *headers]
    return "\n".join(lines) + "\n\n"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"zz\r\n{}\r\n0\r\n\r\n", id="a length that is no number"),
        pytest.param(b"-2\r\n{}\r\n0\r\n\r\n", id="a negative length"),
        pytest.param(b"ffffffffffffff\r\n{}\r\n", id="a huge length"),
        pytest.param(b"4000001\r\n{}\r\n", id="a chunk over the limit"),
        pytest.param(b"2\r\n{}x\r\n0\r\n\r\n", id="a chunk that is longer"),
        pytest.param(b"2\r\n{", id="a chunk that is cut"),
        pytest.param(b"2\r\n{}\r\n", id="no last chunk"),
        pytest.param(b"", id="no chunk"),
    ],
)
def test_chunks_that_make_no_sense_are_a_bad_request(body, sandbox, capfd):
    answer = sent(sandbox, head_of("ecs", "Transfer-Encoding: chunked"), body, ends=True)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"Traceback" not in answer
    assert capfd.readouterr() == ("", "")


def test_chunks_are_put_together(sandbox):
    body = b"1\r\n{\r\n1;x=y\r\n}\r\n0\r\nTrailer: x\r\n\r\n"
    assert sent(sandbox, head_of("ecs", "Transfer-Encoding: chunked"), body).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("service", ["ecs", "ecr"])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"clusters": ["\xff"]}', id="no UTF-8"),
        pytest.param(b'{"clusters": ["\\ud800"], "repositoryName": "\\ud800"}', id="half a character"),
        pytest.param(b'{"clusters": [{}], "repositoryName": [{}]}', id="another type"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"{", id="half of it"),
        pytest.param(b'{"maxResults": ' + b"9" * 5000 + b"}", id="a number without end"),
    ],
)
def test_a_body_that_says_nothing_is_a_bad_request(service, body, sandbox, capfd):
    answer = sent(sandbox, head_of(service, f"Content-Length: {len(body)}"), body)
    assert answer.startswith((b"HTTP/1.1 400 Bad Request", b"HTTP/1.1 400 BAD REQUEST"))
    assert b"Traceback" not in answer
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("body", [b'{"clusters": ["\xff"]}', b'{"clusters": ["\\ud800"]}', b"[]", b"{", b"7"])
def test_a_world_that_says_nothing_is_a_bad_request(body, sandbox):
    status, text = ask(sandbox, "POST", "/_sandbox/world", body)
    assert status == 400
    assert "error" in json.loads(text)


def test_a_target_that_names_no_operation_is_a_bad_request(sandbox):
    status, text = ask(sandbox, "POST", "/", b"{}", X_Amz_Target="x", Content_Type="application/json")
    assert status == 400
    assert "Traceback" not in text


@pytest.mark.parametrize(
    "head",
    [
        pytest.param("POST / HTTP/1.1\nHost: HOST\nContent-Length: 10\n\nabc", id="half a body"),
        pytest.param("POST / HTTP/1.1\nHost: HOST\nTransfer-Encoding: gzip\n\nabc", id="packed"),
    ],
)
def test_half_a_request_whose_client_is_gone_is_a_bad_request(head, sandbox):
    answer = sent(sandbox, head, ends=True)
    assert b"400" in answer
    assert b"Traceback" not in answer


def test_a_slow_request_is_read_to_its_end_and_keeps_nobody_waiting(sandbox):
    parts = urlsplit(sandbox.endpoint)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        head = head_of("ecs", "Content-Length: 2").replace("\n", "\r\n").replace("HOST", parts.netloc)
        for byte in head.encode() + b"{}":
            connection.sendall(bytes([byte]))
            if byte in b"\n{":
                assert ask(sandbox, "GET", "/_sandbox/clock")[0] == 200
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_the_server_goes_on_after_a_body_that_never_comes(sandbox):
    parts = urlsplit(sandbox.endpoint)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        head = f"POST / HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 10\r\n\r\nabc"
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
    assert json.loads(ask(sandbox, "GET", "/_sandbox/state")[1])
