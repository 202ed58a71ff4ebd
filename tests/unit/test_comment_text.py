"""The pull request's comment: whose it is, which pull request, and how long it may be."""

from dataclasses import replace

import pytest

from ecs_gpu_deploy.core.show.comment import (
    comment_mark,
    comment_text,
    is_comment_of,
    pull_request_in,
    whole_blocks,
)
from ecs_gpu_deploy.core.show.report import Details
from ecs_gpu_deploy.result import Diagnosis, Outcome, Result

RESULT = Result(
    command="deploy",
    outcome=Outcome.FAILED,
    exit_code=4,
    reason="@team <!-- --> look",
    cluster="arn:aws:ecs:r:1:cluster/ki",
    service="rag",
    diagnoses=(Diagnosis(code="unknown", message="x", hint="y", evidence=("--> <script>@team",)),),
)


def test_each_service_of_a_cluster_has_its_own_mark():
    batch = replace(
        RESULT, command="run-task", service="", task_definition_arn="arn:x:task-definition/ingest:7"
    )
    odd = replace(RESULT, service="--> @team")
    assert comment_mark(RESULT) == "<!-- ecs-gpu-deploy service 1//ki/rag -->"
    assert comment_mark(batch, region="eu-west-1") == "<!-- ecs-gpu-deploy task 1/eu-west-1/ki/ingest -->"
    assert comment_mark(odd) == "<!-- ecs-gpu-deploy service 1//ki/--%3E%20%40team -->"


def test_two_accounts_and_two_regions_have_two():
    by_name = replace(RESULT, cluster="ki")
    marks = {
        comment_mark(by_name, region=region, role_arn=f"arn:aws:iam::{account}:role/deploy")
        for account in ("123456789012", "210987654321")
        for region in ("eu-central-1", "us-east-1")
    }
    assert len(marks) == 4
    assert comment_mark(by_name) == "<!-- ecs-gpu-deploy service //ki/rag -->", "nothing tells the account"
    assert comment_mark(replace(by_name, task_definition_arn="rag:7")) == comment_mark(by_name)


def test_what_is_foreign_neither_calls_anybody_nor_leaves_its_place():
    text = comment_text(RESULT, Details(), mark="<!-- m -->")
    assert text.startswith("<!-- m -->\n## ❌ Failed: rag\n")
    assert "\n\\@<!-- -->team &lt;!-- --&gt; look\n" in text
    assert "> `--> <script>@team`\n" in text


def test_it_is_as_long_as_github_takes():
    proof = tuple(f"{number} {'x' * 900}" for number in range(200))
    long = replace(RESULT, diagnoses=(replace(RESULT.diagnoses[0], evidence=proof),))
    text = comment_text(long, Details(), mark="<!-- m -->")
    assert 50_000 < len(text) < 65_536
    assert text.endswith("\\\n\n… cut; the job summary has everything.\n")


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("a\n````diff\n```\n- b", "a\n````diff\n```\n- b\n````"),
        ("```text\na\n```\nb", "```text\na\n```\nb"),
        ("`a`", "`a`"),
    ],
)
def test_what_is_cut_within_a_block_does_not_take_the_rest_into_it(text, closed):
    assert whole_blocks(text) == closed


@pytest.mark.parametrize(
    ("comment", "is_ours"),
    [
        ({"user": {"type": "Bot"}, "body": "M\ntext"}, True),
        ({"user": {"type": "User"}, "author_association": "MEMBER", "body": "M\n"}, True),
        ({"user": {"type": "User"}, "author_association": "CONTRIBUTOR", "body": "M\n"}, False),
        ({"user": {"type": "Bot"}, "body": "M\r\nedited"}, True),
        ({"user": {"type": "Bot"}, "body": "see M\n"}, False),
        ({"user": {"type": "Bot"}, "body": "MM\n"}, False),
        ({"user": None, "body": None}, False),
    ],
)
def test_whose_comment_it_is(comment, is_ours):
    assert is_comment_of(comment, "M") is is_ours


@pytest.mark.parametrize(
    ("event", "number"),
    [
        ({"pull_request": {"number": 7}}, 7),
        ({"issue": {"number": 7, "pull_request": {"url": "x"}}}, 7),
        ({"issue": {"number": 7}}, None),
        ({"workflow_run": {"pull_requests": [{"number": 7}]}}, 7),
        ({"workflow_run": {"pull_requests": []}}, None),
        ({"workflow_run": {"pull_requests": {"number": 7}}}, None),
        ({"pull_request": {"number": "7/../8"}}, None),
        ({"pull_request": {"number": -7}}, None),
        ({"pull_request": {"number": True}}, None),
        ({"pull_request": []}, None),
        ([], None),
        (None, None),
    ],
)
def test_the_pull_request_of_an_event(event, number):
    assert pull_request_in(event) == number
