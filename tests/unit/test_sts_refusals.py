"""What STS's errors mean."""

import pytest

from ecs_gpu_deploy.core.identity.sts_refusals import StsError, chain_refusal, web_identity_refusal

ROLE = "arn:aws:iam::123456789012:role/deploy"
CLAIMS = {"sub": "repo:acme/rag:ref:refs/heads/main", "aud": "sts.amazonaws.com", "iat": 1000}

CASES = {
    "not trusted": (
        "AccessDenied",
        "Not authorized to perform sts:AssumeRoleWithWebIdentity",
        3,
        ["does not let this job assume", "repo:acme/rag:ref:refs/heads/main"],
    ),
    "no provider": (
        "InvalidIdentityToken",
        "No OpenIDConnect provider found in your account for https://token.actions.githubusercontent.com",
        3,
        ["The account 123456789012 has no identity provider", "create-open-id-connect-provider"],
    ),
    "another audience": (
        "InvalidIdentityToken",
        "Incorrect token audience",
        3,
        ["does not accept the audience 'sts.amazonaws.com'", "oidc-provider/token.actions"],
    ),
    "a clock that is ahead": (
        "ExpiredTokenException",
        "Token expired: current date/time 2000 must be before the expiration date/time 1300",
        3,
        ["600 s ahead of GitHub's", "NTP"],
    ),
    "too long": (
        "ValidationError",
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        2,
        ["role-duration 7200 s", "renew themselves"],
    ),
    "a policy that is none": (
        "MalformedPolicyDocument",
        "Syntax errors in policy.",
        2,
        ["role-session-policy"],
    ),
    "a region that is off": ("RegionDisabledException", "STS is not activated", 3, ["Activate STS"]),
    "something new": ("Strange", "What is this.", 3, ["(Strange: What is this)", "aud = sts.amazonaws.com"]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_token_that_is_refused(case):
    code, text, exit_code, sentences = CASES[case]
    error = web_identity_refusal(StsError(code=code, text=text), ROLE, CLAIMS, duration=7200, now=1600.0)
    assert error.exit_code == exit_code
    for sentence in sentences:
        assert sentence in str(error)


def test_a_chain_names_the_role_and_the_external_id():
    denied = StsError(code="AccessDenied", text="User: x is not authorized to perform: sts:AssumeRole")
    error = chain_refusal(denied, role=ROLE)
    assert ROLE in str(error)
    assert "role-external-id" in error.hint


def test_a_chain_has_one_hour():
    error = chain_refusal(StsError(code="ValidationError", text="DurationSeconds exceeds 1 hour"), role=ROLE)
    assert error.exit_code == 2
    assert "at most one hour" in error.hint


@pytest.mark.parametrize("case", [case for case, (_, _, exit_code, _) in CASES.items() if exit_code == 3])
def test_a_role_that_is_refused_is_diagnosed_as_that(case):
    code, text, _, _ = CASES[case]
    wanted = "credentials-expired" if code == "ExpiredTokenException" else "role-trust"
    error = web_identity_refusal(StsError(code=code, text=text), ROLE, CLAIMS, duration=7200, now=1600.0)
    assert error.diagnosis_code == wanted
    assert chain_refusal(StsError(code="AccessDenied", text=text), role=ROLE).diagnosis_code == "role-trust"
