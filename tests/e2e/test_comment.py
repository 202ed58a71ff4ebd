"""One comment of the pull request is kept up to date; whatever GitHub says, the verdict stays."""

import json
import re

import pytest

from github_stand_in import Answer, github_stand_in
from program import image, run
from sandbox_process import sandbox_thread

SHA = "5f0c2d7e91b34a68c0ffee5d2b7a90e1f3c4d5b6"
HOME = "/repos/acme/rag"
MARK = "<!-- ecs-gpu-deploy service 123456789012/eu-central-1/ki-cluster/ki-rag-api -->"
TOKEN = "a-token-of-the-job"


class Conversation:
    """A repository whose pull request 7 holds comments, of which the program writes some."""

    def __init__(self, *comments, pulls=(), status=200):
        self.comments = [{"id": number, **comment} for number, comment in enumerate(comments, start=1)]
        self.pulls, self.status = list(pulls), status

    def answered(self, asked):
        """Answer as GitHub does."""
        path = asked.path.partition("?")[0]
        if self.status != 200:
            accepted = {"X-Accepted-GitHub-Permissions": "issues=write; pull_requests=write"}
            return Answer(self.status, {"message": "Resource not accessible by integration"}, accepted)
        if path == f"{HOME}/commits/{SHA}/pulls":
            return Answer(200, self.pulls)
        if path == f"{HOME}/issues/7/comments" and asked.method == "GET":
            page = int(re.search(r"&page=(\d+)", asked.path)[1])
            return Answer(200, self.comments[100 * (page - 1) : 100 * page])
        if path == f"{HOME}/issues/7/comments":
            self.comments.append({"id": 99, "user": {"type": "Bot"}, **asked.body})
            return Answer(201, self.comments[-1])
        [comment] = [each for each in self.comments if path == f"{HOME}/issues/comments/{each['id']}"]
        comment.update(asked.body)
        return Answer(200, comment)


@pytest.fixture(scope="module")
def sandbox():
    with sandbox_thread() as running:
        yield running


def _deployed(
    sandbox,
    folder,
    conversation,
    *,
    event="",
    tag="v1",
    token=TOKEN,
    command="deploy",
    flags=(),
    **environment,
):
    """Return how a deploy ended whose job is about a pull request, and what GitHub was asked."""
    file = folder / "event.json"
    file.write_text(event if isinstance(event, str) else json.dumps(event), encoding="utf-8")
    with github_stand_in(conversation.answered) as (address, asked):
        ended = run(
            sandbox,
            folder,
            command,
            *("--cluster", "ki-cluster", "--service", "ki-rag-api"),
            "--image",
            image(tag),
            "--comment=true",
            *flags,
            GITHUB_ACTIONS="true",
            GITHUB_REPOSITORY="acme/rag",
            GITHUB_SHA=SHA,
            GITHUB_EVENT_PATH=str(file),
            GITHUB_API_URL=address,
            GITHUB_TOKEN=token,
            **environment,
        )
    return ended, [f"{each.method} {each.path.partition('?')[0].removeprefix(HOME)}" for each in asked]


def test_it_is_made_once_and_then_written_anew(sandbox, tmp_path):
    theirs = {"user": {"type": "User"}, "author_association": "NONE", "body": f"{MARK}\nmine"}
    other = {"user": {"type": "Bot"}, "body": MARK.replace("ki-rag-api", "other") + "\n"}
    conversation = Conversation(theirs, other)
    event = {"pull_request": {"number": 7}}
    ended, asked = _deployed(sandbox, tmp_path, conversation, event=event, tag="bad")
    assert ended.exit_code == 5
    assert asked == ["GET /issues/7/comments", "POST /issues/7/comments"]
    assert conversation.comments[0]["body"] == f"{MARK}\nmine", "what somebody else wrote stays"
    written = conversation.comments[2]["body"]
    assert written.startswith(f"{MARK}\n## ↩️ Rolled back: ki-rag-api\n")
    assert "torch.OutOfMemoryError: CUDA out of memory" in written
    assert TOKEN not in re.sub("::add-mask::.*", "", ended.shown)

    ahead = ("--preflight", "warn")
    ended, asked = _deployed(sandbox, tmp_path, conversation, event=event, tag="good", flags=ahead)
    assert ended.exit_code == 0
    assert ended.result["plan"]["steps"]
    assert "1. Register" not in conversation.comments[2]["body"], "what came counts, not what was to be done"
    assert asked == ["GET /issues/7/comments", "PATCH /issues/comments/99"]
    assert len(conversation.comments) == 3
    assert conversation.comments[2]["body"].startswith(f"{MARK}\n## ✅ Deployed: ki-rag-api\n")


def test_it_is_found_on_the_second_page_too_though_a_browser_ended_its_lines(sandbox, tmp_path):
    others = [{"user": {"type": "User"}, "body": f"a {number}"} for number in range(120)]
    conversation = Conversation(*others, {"user": {"type": "Bot"}, "body": f"{MARK}\r\nedited"})
    _, asked = _deployed(sandbox, tmp_path, conversation, event={"pull_request": {"number": 7}}, tag="good")
    assert asked == ["GET /issues/7/comments"] * 2 + ["PATCH /issues/comments/121"]


def test_a_plan_has_a_comment_of_its_own(sandbox, tmp_path):
    conversation = Conversation({"user": {"type": "Bot"}, "body": f"{MARK}\nof a deploy"})
    event = {"pull_request": {"number": 7}}
    _deployed(sandbox, tmp_path, conversation, event=event, tag="bad", command="plan")
    assert conversation.comments[0]["body"] == f"{MARK}\nof a deploy"
    written = conversation.comments[1]["body"]
    assert written.startswith(f"{MARK.replace(' service ', ' plan ')}\n## ")
    for words in (
        "The rollout of ki-rag-api",
        "| a new one | `ki-rag-api:",
        "1. Register",
        "| Instance | Type |",
        "```mermaid",
        "```diff",
    ):
        assert words in written, written


def test_a_push_finds_the_pull_request_of_its_commit(sandbox, tmp_path):
    pulls = [{"number": 3, "state": "closed"}, {"number": 7, "state": "open"}]
    conversation = Conversation(pulls=pulls)
    _, asked = _deployed(sandbox, tmp_path, conversation, event={"after": SHA})
    assert asked == [f"GET /commits/{SHA}/pulls", "GET /issues/7/comments", "POST /issues/7/comments"]


def test_where_there_is_none_it_is_said(sandbox, tmp_path):
    ended, asked = _deployed(sandbox, tmp_path, Conversation(), event="[{" * 4000)
    assert (ended.exit_code, asked) == (0, [f"GET /commits/{SHA}/pulls"])
    assert "no comment: no pull request has this commit" in ended.shown


@pytest.mark.parametrize(
    ("conversation", "token", "says"),
    [
        (Conversation(status=403), TOKEN, "needs the permission issues: write; pull_requests: write"),
        (Conversation({"id": "x", "user": 3}), TOKEN, "another shape"),
        (Conversation(), "", "there is no token. A comment needs github-token"),
        (Conversation(), "a token\nof two lines", "no request can hold the token"),
    ],
    ids=["the token may not", "GitHub answers something else", "without a token", "no token at all"],
)
def test_what_goes_wrong_is_one_warning_and_the_verdict_stays(sandbox, tmp_path, conversation, token, says):
    ended, _ = _deployed(sandbox, tmp_path, conversation, event={"pull_request": {"number": 7}}, token=token)
    assert (ended.exit_code, ended.result["outcome"]) == (0, "succeeded")
    warnings = [line for line in ended.shown.splitlines() if line.startswith("::warning title=No comment::")]
    assert len(warnings) == 1
    assert says in warnings[0]
    assert "of two lines" not in re.sub("::add-mask::.*", "", ended.shown)
