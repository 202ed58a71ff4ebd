"""GitHub's tokens and AssumeRoleWithWebIdentity: what the trust policy admits, and what it does not."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ecs_gpu_deploy.sandbox.neighbours.web_identity import trusts
from ecs_gpu_deploy.sandbox.world.world import World
from sandbox_process import RunningSandbox, sandbox_thread

HOST = "token.actions.githubusercontent.com"
PROVIDER = f"arn:aws:iam::123456789012:oidc-provider/{HOST}"
ROLE = "arn:aws:iam::123456789012:role/deploy"


def trust(**conditions: Any) -> dict[str, Any]:
    """Write a trust policy; conditions are operator → claim → wanted."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": PROVIDER},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    operator: {f"{HOST}:{claim}": wanted for claim, wanted in claims.items()}
                    for operator, claims in conditions.items()
                },
            }
        ],
    }


MAIN = trust(StringEquals={"aud": "sts.amazonaws.com", "sub": "repo:octo-org/octo-repo:ref:refs/heads/main"})


def world(github: dict[str, Any] | None = None, policy: dict[str, Any] = MAIN) -> dict[str, Any]:
    return {
        "github": github or {},
        "roles": [{"name": "deploy", "trust": policy, "max_session_duration": 7200}],
    }


def token(sandbox: RunningSandbox, audience: str = "sts.amazonaws.com", *, shown: str | None = None) -> str:
    environment = sandbox.announcement["github_environment"]
    request = urllib.request.Request(
        f"{environment['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience={audience}",
        headers={"Authorization": f"bearer {shown or environment['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return str(json.load(response)["value"])


def running(document: dict[str, Any]) -> Any:

    return sandbox_thread(World.from_document(document, name="test"))


def assumed(sandbox: RunningSandbox, identity: str, **more: Any) -> dict[str, Any]:
    with sandbox.client("sts") as sts:
        request = {"RoleArn": ROLE, "RoleSessionName": "run-7", "WebIdentityToken": identity, **more}
        return dict(sts.assume_role_with_web_identity(**request))


def test_a_job_gets_a_session_that_ends_in_the_models_time() -> None:
    with running(world()) as sandbox:
        answer = assumed(sandbox, token(sandbox), DurationSeconds=900)
        assert answer["AssumedRoleUser"]["Arn"].endswith(":assumed-role/deploy/run-7")
        assert answer["SubjectFromWebIdentityToken"] == "repo:octo-org/octo-repo:ref:refs/heads/main"
        credentials = answer["Credentials"]
        assert credentials["Expiration"].timestamp() == sandbox.now() + 900
        keys = {
            "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        }
        session = RunningSandbox(
            endpoint=sandbox.endpoint,
            environment={**sandbox.environment, **keys},
            announcement=sandbox.announcement,
        )
        with session.client() as ecs, session.client("sts") as sts, session.client("ecr") as ecr:
            assert sts.get_caller_identity()["Arn"] == answer["AssumedRoleUser"]["Arn"]
            ecs.list_clusters()
            sandbox.advance(901)
            for call in (ecs.list_clusters, ecr.describe_repositories):
                with pytest.raises(ClientError, match="ExpiredTokenException"):
                    call()
            with pytest.raises(ClientError, match="ExpiredToken"):
                sts.get_caller_identity()


refusals = [
    pytest.param({"ref": "refs/heads/other"}, MAIN, {}, "AccessDenied", id="another branch"),
    pytest.param({"environment": "prod"}, MAIN, {}, "AccessDenied", id="a job with an environment"),
    pytest.param({"immutable_ids": True}, MAIN, {}, "AccessDenied", id="a repository with immutable ids"),
    pytest.param(
        {},
        trust(StringEquals={"sub": "repo:octo-org/octo-repo:*"}),
        {},
        "AccessDenied",
        id="a pattern compared",
    ),
    pytest.param({}, MAIN, {"DurationSeconds": 7201}, "ValidationError", id="longer than the role allows"),
    pytest.param({}, MAIN, {"RoleArn": f"{ROLE}s"}, "AccessDenied", id="a role that is not there"),
    pytest.param({}, MAIN, {"WebIdentityToken": "not-a-token"}, "InvalidIdentityToken", id="no token at all"),
]


@pytest.mark.parametrize(("github", "policy", "more", "code"), refusals)
def test_who_is_not_meant_gets_nothing(
    github: dict[str, Any], policy: dict[str, Any], more: dict[str, Any], code: str
) -> None:
    with running(world(github, policy)) as sandbox:
        with pytest.raises(ClientError) as caught:
            assumed(sandbox, token(sandbox), **more)
        assert caught.value.response["Error"]["Code"] == code


def test_tokens_of_another_audience_or_age_or_key() -> None:
    with running(world()) as sandbox:
        other = token(sandbox, "elsewhere")
        with pytest.raises(ClientError, match="Incorrect token audience"):
            assumed(sandbox, other)
        head, body, signature = token(sandbox).split(".")
        _, other_body, _ = other.split(".")
        for forged in (
            f"{head}.{other_body}.{signature}",
            f"{head}.{body}.",
            f"{head}.{body}.{signature[:-8]}AAAAAAAA",
        ):
            with pytest.raises(ClientError, match="not a valid JWT"):
                assumed(sandbox, forged)
        old = token(sandbox)
        sandbox.advance(301)
        with pytest.raises(ClientError, match="Token expired"):
            assumed(sandbox, old)
        with pytest.raises(urllib.error.HTTPError, match="401") as caught:
            token(sandbox, shown="guess")
        caught.value.close()
        assert [call["status"] for call in sandbox.calls("GetToken")] == [200, 200, 200, 401]


def test_without_a_provider_there_is_no_session() -> None:
    with running({"roles": [{"name": "deploy", "trust": MAIN}]}) as sandbox:
        with pytest.raises(ClientError, match="No OpenIDConnect provider found"):
            assumed(sandbox, "a.b.c")
        assert "github_environment" not in sandbox.announcement


SUBJECT = "repo:o/r:environment:prod"
conditions = [
    pytest.param({"StringEquals": {"sub": [SUBJECT, "other"]}}, True, id="one of several"),
    pytest.param({"StringLike": {"sub": "repo:o/*"}}, True, id="a pattern"),
    pytest.param({"StringLike": {"sub": "repo:o/[r]:*"}}, False, id="brackets are no pattern"),
    pytest.param({"StringEqualsIgnoreCase": {"sub": SUBJECT.upper()}}, True, id="whatever the case"),
    pytest.param({"StringNotEquals": {"sub": SUBJECT}}, False, id="not this one"),
    pytest.param({"StringNotLike": {"sub": "repo:x/*"}}, True, id="none of a pattern"),
    pytest.param({"StringEquals": {"actor": "me"}}, False, id="a claim that the token lacks"),
    pytest.param({"StringEqualsIfExists": {"actor": "me"}}, True, id="a claim only where it exists"),
    pytest.param({"ForAnyValue:StringEquals": {"sub": [SUBJECT]}}, True, id="any value"),
    pytest.param({"ForAllValues:StringLike": {"actor": "x"}}, True, id="all of no values"),
    pytest.param({"Frobnicate": {"sub": SUBJECT}}, False, id="an operator that IAM does not have"),
    pytest.param(
        {"StringEquals": {"aud": "a"}, "StringLike": {"sub": "repo:x/*"}}, False, id="all must be met"
    ),
]


@pytest.mark.parametrize(("condition", "admitted"), conditions)
def test_conditions_of_a_trust_policy(condition: dict[str, Any], admitted: bool) -> None:
    claims = {"sub": SUBJECT, "aud": "a"}
    assert trusts(trust(**condition), provider_arn=PROVIDER, claims=claims) is admitted


def test_another_provider_or_action_or_a_deny_does_not_admit() -> None:
    claims = {"sub": SUBJECT, "aud": "a"}
    policy = trust(StringEquals={"aud": "a"})
    assert trusts(policy, provider_arn=PROVIDER, claims=claims)
    assert not trusts(policy, provider_arn=f"{PROVIDER}x", claims=claims)
    (statement,) = policy["Statement"]
    other_action = {"Statement": {**statement, "Action": ["sts:AssumeRole", "sts:TagSession"]}}
    assert not trusts(other_action, provider_arn=PROVIDER, claims=claims)
    denied = {"Statement": [statement, {**statement, "Effect": "Deny"}]}
    assert not trusts(denied, provider_arn=PROVIDER, claims=claims)
