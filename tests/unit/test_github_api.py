"""GitHub's REST API: what is asked, what is asked again, and what is said where it does not answer well."""

import traceback
from dataclasses import replace

import pytest

from ecs_gpu_deploy.edges.ci.github_api import GitHubApi, GitHubError
from ecs_gpu_deploy.errors import InvalidInput
from github_stand_in import Answer, github_stand_in


class Clock:
    """A clock on which waiting costs nothing."""

    def __init__(self):
        self.slept = []

    def now(self):
        return sum(self.slept)

    def sleep(self, seconds):
        self.slept.append(seconds)


def _api(url, clock=None, token="ghs_hush"):
    return GitHubApi(clock=clock or Clock(), token=token, url=url)


def _in_turn(*answers):
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def test_it_is_asked_in_json_with_the_token_and_the_version():
    with github_stand_in(_in_turn(Answer(201, {"id": 7}))) as (url, asked):
        assert _api(url + "/api/v3/").post("/repos/o/r/deployments", {"ref": "main"}) == {"id": 7}
    [request] = asked
    assert (request.method, request.path, request.body) == (
        "POST",
        "/api/v3/repos/o/r/deployments",
        {"ref": "main"},
    )
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert headers["authorization"] == "Bearer ghs_hush"
    assert headers["accept"] == "application/vnd.github+json"
    assert headers["x-github-api-version"] == "2022-11-28"
    assert headers["user-agent"] == "ecs-gpu-deploy"


def test_without_a_token_it_is_asked_as_anybody_may():
    with github_stand_in(_in_turn(Answer(204, b""))) as (url, asked):
        assert _api(url, token="").get("/x", {"a": "b c"}) is None
    assert asked[0].path == "/x?a=b+c"
    assert "Authorization" not in asked[0].headers


@pytest.mark.parametrize(
    ("first", "slept"),
    [
        (Answer(502, b"<html>"), None),
        (Answer(429, {}, {"Retry-After": "7"}), [7.0]),
        (Answer(403, {"message": "secondary rate limit"}, {"Retry-After": "30"}), [30.0]),
    ],
    ids=["down", "too many", "a secondary limit"],
)
@pytest.mark.parametrize("method", ["get", "post", "patch"])
def test_what_may_pass_is_asked_again_on_the_given_clock(method, first, slept):
    clock = Clock()
    with github_stand_in(_in_turn(first, Answer(200, {"ok": True}))) as (url, asked):
        body = [] if method == "get" else [{"a": 1}]
        assert getattr(_api(url, clock), method)("/x", *body) == {"ok": True}
    assert len(asked) == 2
    assert clock.slept == slept or (slept is None and len(clock.slept) == 1)


@pytest.mark.parametrize(
    ("answer", "says", "hint", "times"),
    [
        (Answer(500, b""), "GitHub answered GET /x with 500", "", 4),
        (Answer(404, {"message": "Not Found"}), "GitHub answered GET /x with 404: Not Found", "", 1),
        (
            Answer(
                403,
                {"message": "Resource not accessible by integration"},
                {"X-Accepted-GitHub-Permissions": "deployments=write"},
            ),
            "with 403: Resource not accessible by integration",
            "The token needs the permission deployments: write (permissions of the job).",
            1,
        ),
        (Answer(429, {}, {"Retry-After": "3600"}), "429", "Its rate limit is reached: try again later.", 1),
        (Answer(403, {}, {"X-RateLimit-Remaining": "0"}), "403", "Its rate limit is reached", 1),
        (Answer(200, b"<html>"), "no JSON", "", 1),
        (Answer(301, {}, {"Location": "http://127.0.0.1:9/y"}), "to another host", "", 1),
        (Answer(301, {}, {"Location": "/x"}), "in a circle", "", 3),
        (Answer(307, {}, {"Location": "http://[x"}), "to another host", "", 1),
        (Answer(307, {}, {"Location": "http://127.0.0.1:80@evil.example/x"}), "to another host", "", 1),
        (Answer(200, b"[" * 200_000), "no JSON", "", 1),
        (Answer(400, b"[" * 200_000), "with 400", "", 1),
        (Answer(401, {"message": "Bad credentials: Bearer ghs_hush"}), "credentials: Bearer ***", "", 1),
        (
            Answer(
                403,
                {"message": "You have exceeded a secondary rate limit."},
                {"X-Accepted-GitHub-Permissions": "deployments=write"},
            ),
            "secondary rate limit",
            "Its rate limit is reached",
            1,
        ),
    ],
    ids=[
        "down",
        "not there",
        "permission",
        "long limit",
        "limit",
        "HTML",
        "elsewhere",
        "circle",
        "no address",
        "another host by its user",
        "deep JSON",
        "deep JSON of a refusal",
        "token said back",
        "a secondary limit without a time",
    ],
)
def test_a_refusal_is_told_with_what_github_says(answer, says, hint, times):
    with github_stand_in(_in_turn(answer)) as (url, asked), pytest.raises(GitHubError) as caught:
        _api(url).get("/x")
    assert says in str(caught.value)
    assert hint in caught.value.hint
    assert len(asked) == times
    assert "ghs_hush" not in f"{caught.value} {caught.value.hint} {_api(url)!r}"


@pytest.mark.parametrize("token", ["ghs_hush\nX-Evil: 1", "ghs_hush\u2026"], ids=["two lines", "no ASCII"])
def test_a_token_that_no_header_can_hold_is_not_said(token):
    with github_stand_in(_in_turn(Answer(200, {}))) as (url, asked), pytest.raises(GitHubError) as caught:
        _api(url, token=token).get("/x")
    assert asked == []
    assert "no request can hold the token" in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value))
    assert "ghs_hush" not in shown


@pytest.mark.parametrize(
    ("status", "hint"), [(429, "Its rate limit is reached: try again later."), (503, "")]
)
def test_who_has_no_time_does_not_wait_as_long_as_github_wants(status, hint):
    clock, answer = Clock(), Answer(status, {}, {"Retry-After": "7"})
    with github_stand_in(_in_turn(answer)) as (url, asked), pytest.raises(GitHubError) as caught:
        replace(_api(url, clock), longest_pause=5.0).get("/x")
    assert (len(asked), clock.slept, caught.value.hint) == (1, [], hint)


@pytest.mark.parametrize(("method", "times"), [("get", 4), ("patch", 4), ("post", 1)])
def test_after_a_lost_answer_nothing_is_made_twice(method, times):
    body = [] if method == "get" else [{}]
    with (
        github_stand_in(_in_turn(Answer(0))) as (url, asked),
        pytest.raises(GitHubError, match="gave no answer") as caught,
    ):
        getattr(_api(url), method)("/x", *body)
    assert len(asked) == times
    assert caught.value.status == 0


def test_a_repository_that_was_renamed_is_followed_on_the_same_host():
    moved = Answer(307, {}, {"Location": "/repositories/7/deployments"})
    with github_stand_in(_in_turn(moved, Answer(201, {"id": 1}))) as (url, asked):
        assert _api(url).post("/repos/o/old/deployments", {"a": 1}) == {"id": 1}
    assert [(each.method, each.path, each.body) for each in asked[1:]] == [
        ("POST", "/repositories/7/deployments", {"a": 1})
    ]


def test_a_list_is_read_page_by_page():
    pages = _in_turn(Answer(200, list(range(100))), Answer(200, [100]))
    with github_stand_in(pages) as (url, asked):
        assert list(_api(url).listed("/x", {"state": "all"})) == list(range(101))
    assert [each.path for each in asked] == [
        "/x?state=all&per_page=100&page=1",
        "/x?state=all&per_page=100&page=2",
    ]
    with github_stand_in(_in_turn(Answer(200, {}))) as (url, _), pytest.raises(GitHubError, match="no list"):
        list(_api(url).listed("/x"))


def test_nobody_listens_or_it_is_no_address():
    with pytest.raises(GitHubError, match="gave no answer"):
        _api("http://127.0.0.1:9").post("/x", {})
    with pytest.raises(GitHubError, match="no web address"):
        _api("file:///etc").get("/passwd")


@pytest.mark.parametrize(
    ("environment", "given", "token", "url"),
    [
        ({}, "", "", "https://api.github.com"),
        ({"GITHUB_TOKEN": "ghs_job"}, "", "ghs_job", "https://api.github.com"),
        (
            {"GITHUB_TOKEN": "ghs_job", "GITHUB_API_URL": "https://g/api/v3"},
            "ghp_1",
            "ghp_1",
            "https://g/api/v3",
        ),
        ({"MY_TOKEN": "ghp_2"}, "MY_TOKEN", "ghp_2", "https://api.github.com"),
    ],
)
def test_the_token_is_the_one_given_or_the_job_s(environment, given, token, url):
    masked = []
    api = GitHubApi.from_environment(environment, given=given, clock=Clock(), mask=masked.append)
    assert (api.token, api.url) == (token, url)
    assert masked == [token]


def test_a_variable_that_is_not_there_is_refused_by_its_name():
    with pytest.raises(InvalidInput, match="no environment variable MY_TOKEN"):
        GitHubApi.from_environment({}, given="MY_TOKEN", clock=Clock(), mask=print)
