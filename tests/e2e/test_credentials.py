"""Credentials over GitHub OIDC: renewed during the wait, never shown, refused with what ends the search."""

import json

import pytest

from program import deploy, image
from sandbox_process import sandbox_thread
from worlds import ISSUER, ROLE, SUBJECT, github_world

JOB = {"GITHUB_ACTIONS": "true"}
SLOW = {"image": "ki-rag-api:three-hours", "load_seconds": 3.25 * 3600}


def _run(sandbox, folder, *flags, **environment):
    variables = {**sandbox.announcement["github_environment"], **JOB, **environment}
    return deploy(sandbox, folder, "--role-to-assume", ROLE, *flags, **variables)


def _world(*subjects, **github):
    return json.dumps(github_world(*subjects, **github))


def _secrets_of(sandbox):
    """Return everything that no one may see: the runner's token, and the keys of every session."""
    sessions = sandbox.server.sandbox.sessions.values()
    own = [sandbox.announcement["github_environment"]["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]]
    tokens = [
        call["parameters"].get("WebIdentityToken") for call in sandbox.calls("AssumeRoleWithWebIdentity")
    ]
    return own + [s.secret_access_key for s in sessions] + [s.token for s in sessions] + tokens


def _without_masks(shown):
    """Return what the runner would show: it takes the lines that tell it what to mask for itself."""
    return "\n".join(line for line in shown.splitlines() if not line.startswith("::add-mask::"))


def test_the_credentials_are_renewed_three_times_in_one_wait(tmp_path):
    world = github_world()
    world["images"].append(SLOW)
    world["services"][0]["healthCheckGracePeriodSeconds"] = 4 * 3600
    with sandbox_thread(json.dumps(world)) as sandbox:
        run = _run(
            sandbox, tmp_path, "--image", image("three-hours"), "--timeout", "4h", "--poll-interval", "30"
        )
        assert run.exit_code == 0, run.shown
        calls = run.result["api_calls"]
        hours = run.result["duration_seconds"] / 3600
        assert hours > 3.25
        assert calls["github.GetToken"] == calls["sts.AssumeRoleWithWebIdentity"] == 4
        assert len(sandbox.calls("GetToken")) == len(sandbox.calls("AssumeRoleWithWebIdentity")) == 4
        refused = [call for call in sandbox.calls() if call["error"]]
        assert refused == []
        secrets = _secrets_of(sandbox)
        assert len(secrets) == 1 + 4 + 4 + 4
        for text in (_without_masks(run.shown), (tmp_path / "result.json").read_text()):
            assert not [secret for secret in secrets if secret in text]
        assert all(f"::add-mask::{secret}" in run.shown for secret in secrets)


def test_without_renewal_the_same_wait_would_end_with_expired_credentials(tmp_path):
    world = github_world()
    world["images"].append(SLOW)
    world["services"][0]["healthCheckGracePeriodSeconds"] = 4 * 3600
    with sandbox_thread(json.dumps(world)) as sandbox:
        with sandbox.client("sts") as sts:
            token = sandbox.server.sandbox.issuer.token(audience="sts.amazonaws.com", now=sandbox.now())
            keys = sts.assume_role_with_web_identity(
                RoleArn=ROLE, RoleSessionName="other-step", WebIdentityToken=token
            )["Credentials"]
        run = deploy(
            sandbox,
            tmp_path,
            *("--image", image("three-hours"), "--timeout", "4h"),
            AWS_ACCESS_KEY_ID=keys["AccessKeyId"],
            AWS_SECRET_ACCESS_KEY=keys["SecretAccessKey"],
            AWS_SESSION_TOKEN=keys["SessionToken"],
        )
        assert run.exit_code == 3
        assert "expired" in run.shown
        assert "role-to-assume" in run.shown
        assert run.result["diagnoses"][0]["code"] == "credentials-expired"


def test_a_renewal_that_fails_is_tried_again_while_the_credentials_last(tmp_path):
    world = github_world()
    world["images"].append({"image": "ki-rag-api:long", "load_seconds": 4200})
    world["services"][0]["healthCheckGracePeriodSeconds"] = 4 * 3600
    world["faults"] = [
        {
            "operation": "github:GetToken",
            "status": 503,
            "body": "down",
            "after_seconds": 3000,
            "until_seconds": 3400,
        }
    ]
    with sandbox_thread(json.dumps(world)) as sandbox:
        run = _run(sandbox, tmp_path, "--image", image("long"), "--timeout", "4h")
        assert run.exit_code == 0, run.shown
        assert "could not be renewed yet" in run.shown
        assert run.result["api_calls"]["sts.AssumeRoleWithWebIdentity"] == 2


REFUSALS = {
    "another branch: the claims beside the condition that admits them": (
        _world("repo:acme/rag:environment:production"),
        {},
        [
            "does not let this job assume the role",
            f"sub = {SUBJECT}",
            "aud = sts.amazonaws.com",
            "no environment",
            f'"{ISSUER}:sub": ["{SUBJECT}", "repo:acme@65/rag@74:ref:refs/heads/main"]',
        ],
    ),
    "a repository with immutable ids: both forms": (
        _world(immutable_ids=True),
        {},
        [f'["repo:acme@65/rag@74:ref:refs/heads/main", "{SUBJECT}"]'],
    ),
    "an environment where the policy names the branch": (
        _world(environment="production"),
        {},
        ["sub = repo:acme/rag:environment:production", "A job with `environment:`"],
    ),
    "an audience that the provider does not have": (
        _world(),
        {"audience": "https://github.com/acme"},
        [
            "does not accept the audience 'https://github.com/acme'",
            "add-client-id-to-open-id-connect-provider",
        ],
    ),
    "a role that does not exist": (
        _world(),
        {"role-to-assume": "arn:aws:iam::123456789012:role/deploi"},
        ["role/deploi", "STS says the same where the role does not exist"],
    ),
    "a duration that the role does not allow": (
        _world(),
        {"role-duration": "2h"},
        ["role-duration 7200 s", "renew themselves"],
    ),
    "a wrong account": (
        _world(),
        {"allowed-account-ids": "999999999999"},
        ["of the AWS account 123456789012", "allowed-account-ids"],
    ),
    "a role of another partition": (
        _world(),
        {"role-to-assume": "arn:aws-cn:iam::123456789012:role/deploy"},
        ["of the partition aws-cn", "eu-central-1"],
    ),
    "a session name that STS does not take": (_world(), {"role-session-name": "a b"}, ["role-session-name"]),
    "something that is no role": (_world(), {"role-to-assume": "deploy"}, ["not the ARN of a role"]),
    "a session policy that is no JSON": (_world(), {"role-session-policy": "{"}, ["role-session-policy"]),
    "an external id without a role for it": (_world(), {"role-external-id": "x"}, ["role-chain"]),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_says_what_would_admit_the_job(tmp_path, case):
    world, flags, sentences = REFUSALS[case]
    with sandbox_thread(world) as sandbox:
        given = [part for name, value in flags.items() for part in (f"--{name}", value)]
        run = _run(sandbox, tmp_path, "--region", "eu-central-1", "--image", image("good"), *given)
        assert run.exit_code in {2, 3}, run.shown
        assert run.changes == []
        for sentence in sentences:
            assert sentence in run.shown
        assert not [
            secret for secret in _secrets_of(sandbox) if secret and secret in _without_masks(run.shown)
        ]


ENDPOINTS = {
    "down": ({"status": 503, "body": "no"}, "it answered 503"),
    "answering HTML": ({"status": 200, "body": "<html>proxy</html>"}, "HTML instead of a token"),
    "refusing": ({"status": 403, "body": "no"}, "id-token: write"),
    "breaking the connection": ({"reset": True}, "gave no token in 5 attempts"),
}


@pytest.mark.parametrize("case", ENDPOINTS)
def test_a_token_endpoint_that_is(tmp_path, case):
    fault, sentence = ENDPOINTS[case]
    world = {**github_world(), "faults": [{"operation": "github:GetToken", **fault}]}
    with sandbox_thread(json.dumps(world)) as sandbox:
        run = _run(sandbox, tmp_path, "--image", image("good"))
        assert run.exit_code == 3
        assert sentence in run.shown
        assert run.changes == []


def test_a_job_without_the_permission_is_shown_the_lines(tmp_path):
    with sandbox_thread(_world()) as sandbox:
        run = deploy(sandbox, tmp_path, "--role-to-assume", ROLE, "--image", image("good"), **JOB)
        assert run.exit_code == 3
        assert "lacks the permission id-token" in run.shown
        assert "id-token: write" in run.shown


def test_half_a_pair_of_keys_and_none_at_all_say_what_to_set(tmp_path):
    with sandbox_thread(_world()) as sandbox:
        half = deploy(sandbox, tmp_path, "--image", image("good"), AWS_SECRET_ACCESS_KEY="")
        assert half.exit_code == 3
        assert "incomplete: AWS_SECRET_ACCESS_KEY is missing" in half.shown
        none = deploy(sandbox, tmp_path, "--image", image("good"), AWS_ACCESS_KEY_ID="")
        assert none.exit_code == 3
        assert "elsewhere set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or aws-profile" in none.shown


def test_short_credentials_are_warned_of(tmp_path):
    with sandbox_thread(_world()) as sandbox:
        run = _run(sandbox, tmp_path, "--image", image("good"), "--role-duration", "15m")
        assert run.exit_code == 0, run.shown
        assert "short-credentials" in {finding["code"] for finding in run.result["findings"]}


def test_a_chain_of_roles_ends_in_the_last_one(tmp_path):
    chain = [f"arn:aws:iam::123456789012:role/{name}" for name in ("hub", "deploy-prod")]
    with sandbox_thread(_world()) as sandbox:
        flags = [part for arn in chain for part in ("--role-chain", arn)]
        policy = json.dumps({"Version": "2012-10-17", "Statement": []})
        run = _run(
            sandbox,
            tmp_path,
            *("--image", image("good"), *flags),
            *("--role-external-id", "acme-7", "--role-duration", "2h", "--role-session-policy", policy),
        )
        assert run.exit_code == 2, "the first role has one hour at most"
        run = _run(
            sandbox,
            tmp_path,
            *(
                "--image",
                image("good"),
                *flags,
                "--role-external-id",
                "acme-7",
                "--role-session-policy",
                policy,
            ),
        )
        assert run.exit_code == 0, run.shown
        assumed = [call["parameters"] for call in sandbox.calls("AssumeRole")]
        assert [call["RoleArn"] for call in assumed] == chain
        assert {call["ExternalId"] for call in assumed} == {"acme-7"}
        assert ["Policy" in call for call in assumed] == [False, True]
        assert "deploy-prod" in sandbox.calls("UpdateService")[0]["caller"]
        assert "Policy" not in sandbox.calls("AssumeRoleWithWebIdentity")[-1]["parameters"]
