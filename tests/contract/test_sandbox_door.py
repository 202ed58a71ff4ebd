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
        pytest.param({"Origin": EVIL}, id="a page elsewhere"),
        pytest.param({"Origin": "null"}, id="a page of nowhere"),
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


def test_the_server_goes_on_after_a_body_that_never_comes(sandbox):
    parts = urlsplit(sandbox.endpoint)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        head = f"POST / HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 10\r\n\r\nabc"
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
    assert json.loads(ask(sandbox, "GET", "/_sandbox/state")[1])
