"""The token endpoint's moods, and what is told of a token."""

import base64
import http.server
import json
import threading
import traceback
from contextlib import contextmanager

import pytest

from ecs_gpu_deploy.core.identity.claims import claims_of, refusal_hint, subjects, trust_condition
from ecs_gpu_deploy.edges.ci.oidc import TokenEndpoint
from ecs_gpu_deploy.errors import Refused
from github_stand_in import Answer, github_stand_in

CLASSIC = {
    "iss": "https://token.actions.githubusercontent.com",
    "sub": "repo:acme/rag:ref:refs/heads/main",
    "aud": "sts.amazonaws.com",
    "repository_id": "74",
    "repository_owner_id": "65",
}


class Clock:
    """A clock on which waiting costs nothing."""

    def __init__(self):
        self.slept = 0.0

    def now(self):
        return self.slept

    def sleep(self, seconds):
        self.slept += seconds


@contextmanager
def endpoint(*answers, hold=None):
    """Serve (status, body) one after the other, the last one for ever; *hold* is waited for first."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers["Authorization"]))
            if hold is not None:
                hold.wait(5)
            status, body = answers[min(len(asked), len(answers)) - 1]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/token?api-version=2.0", asked
        finally:
            if hold is not None:
                hold.set()
            server.shutdown()
            thread.join()


def _endpoint(url, *, clock=None, masked=None, timeout=2.0):
    masked = [] if masked is None else masked
    return TokenEndpoint(
        url=url, bearer="b3arer", clock=clock or Clock(), mask=masked.append, timeout=timeout
    )


GOOD = (200, b'{"count": 7, "value": "a.b.c"}')


def test_the_token_is_asked_for_with_the_audience_and_masked():
    masked = []
    with endpoint(GOOD) as (url, asked):
        assert _endpoint(url, masked=masked).token("https://a b") == "a.b.c"
    assert asked == [("/token?api-version=2.0&audience=https%3A%2F%2Fa%20b", "bearer b3arer")]
    assert masked == ["a.b.c"]


@pytest.mark.parametrize(
    "first",
    [
        (500, b"oops"),
        (502, b"<html>"),
        (429, b""),
        (200, b"<html>maintenance</html>"),
        (200, b"{}"),
        (200, b"[]"),
    ],
    ids=lambda first: f"{first[0]} {first[1].decode()}",
)
def test_a_passing_failure_is_tried_again_on_the_given_clock(first):
    clock = Clock()
    with endpoint(first, first, GOOD) as (url, asked):
        assert _endpoint(url, clock=clock).token("sts.amazonaws.com") == "a.b.c"
    assert len(asked) == 3
    assert clock.slept > 0


@pytest.mark.parametrize(
    ("answer", "sentence", "attempts"),
    [
        ((503, b""), "in 5 attempts: it answered 503", 5),
        ((200, b"  <!doctype html>"), "HTML instead of a token", 5),
        ((200, b'{"value": 7}'), "its answer has no token", 5),
        ((401, b""), "it answered 401", 1),
    ],
    ids=["down", "HTML", "a token that is no text", "no permission"],
)
def test_without_a_token_the_end_says_why(answer, sentence, attempts):
    with endpoint(answer) as (url, asked), pytest.raises(Refused, match=sentence) as caught:
        _endpoint(url).token("sts.amazonaws.com")
    assert len(asked) == attempts
    assert "b3arer" not in str(caught.value)


def test_a_slow_endpoint_is_not_waited_for_endlessly():
    with (
        endpoint(GOOD, hold=threading.Event()) as (url, _),
        pytest.raises(Refused, match=r"did not answer within 0\.1 s"),
    ):
        _endpoint(url, timeout=0.1).token("sts.amazonaws.com")


def test_nobody_listening():
    with pytest.raises(Refused, match="refused"):
        _endpoint("http://127.0.0.1:9/token").token("sts.amazonaws.com")


@pytest.mark.parametrize(
    ("claims", "wanted"),
    [
        (CLASSIC, ("repo:acme/rag:ref:refs/heads/main", "repo:acme@65/rag@74:ref:refs/heads/main")),
        (
            {**CLASSIC, "sub": "repo:acme@65/rag@74:environment:prod"},
            ("repo:acme@65/rag@74:environment:prod", "repo:acme/rag:environment:prod"),
        ),
        ({"sub": "repo:acme/rag:pull_request"}, ("repo:acme/rag:pull_request",)),
        ({**CLASSIC, "sub": "environment:prod:actor:me"}, ("environment:prod:actor:me",)),
        (
            {
                **CLASSIC,
                "sub": "repo:acme/rag:environment:a%3Ab:job_workflow_ref:o/a/.github/x.yml@refs/heads/m",
            },
            (
                "repo:acme/rag:environment:a%3Ab:job_workflow_ref:o/a/.github/x.yml@refs/heads/m",
                "repo:acme@65/rag@74:environment:a%3Ab:job_workflow_ref:o/a/.github/x.yml@refs/heads/m",
            ),
        ),
        ({}, ()),
    ],
    ids=[
        "classic",
        "immutable",
        "ids not told",
        "customised",
        "customised behind the repository",
        "no claims",
    ],
)
def test_both_forms_of_the_subject(claims, wanted):
    assert subjects(claims) == wanted


def test_the_condition_can_be_pasted_into_a_trust_policy():
    condition = json.loads("{" + trust_condition(CLASSIC) + "}")["Condition"]["StringEquals"]
    host = "token.actions.githubusercontent.com"
    assert condition[f"{host}:aud"] == "sts.amazonaws.com"
    assert condition[f"{host}:sub"] == list(subjects(CLASSIC))


def test_an_enterprise_server_has_its_own_provider():
    claims = {**CLASSIC, "iss": "https://ghe.acme.example/_services/token"}
    assert '"ghe.acme.example/_services/token:sub"' in trust_condition(claims)


def test_a_pull_request_is_told_apart():
    assert "pull request" in refusal_hint({**CLASSIC, "sub": "repo:acme/rag:pull_request"})


@pytest.mark.parametrize("token", ["", "a.b", "a.!!!.c", "a.bm90IGpzb24.c", "a.W10.c"])
def test_what_is_no_token_has_no_claims(token):
    assert claims_of(token) == {}


def test_claims_are_read_without_their_padding():
    body = base64.urlsafe_b64encode(json.dumps(CLASSIC).encode()).rstrip(b"=").decode()
    assert claims_of(f"x.{body}.y") == CLASSIC


def test_the_runners_secret_goes_to_no_other_host():
    with github_stand_in(lambda _: Answer(200, {"value": "forged"})) as (elsewhere, asked):
        moved = Answer(302, {}, {"Location": f"{elsewhere}/x"})
        with github_stand_in(lambda _: moved) as (url, _), pytest.raises(Refused, match="it answered 302"):
            TokenEndpoint(url=url, bearer="hush", clock=Clock(), mask=print).token("aud")
    assert asked == []


def test_a_secret_that_no_header_can_hold_is_not_said():
    bearer = "hus" + "h\nx"
    with pytest.raises(Refused, match="No request can hold") as caught:
        TokenEndpoint(url="http://127.0.0.1:9", bearer=bearer, clock=Clock(), mask=print).token("aud")
    assert "hush" not in "".join(traceback.format_exception(caught.value))
