"""require-attestation: who must have built the image, before anything is registered or updated."""

import pytest

from gh_stand_in import asked_of_gh, install_gh
from program import act, deploy, image, run
from sandbox_process import sandbox_thread

WORKFLOW = "acme/rag/.github/workflows/build.yml"
SIGNER = f"{WORKFLOW}@refs/heads/main"
SYSTEM = "/usr/bin:/bin"


@pytest.fixture(scope="module")
def sandbox():
    with sandbox_thread() as running:
        yield running


def digest_of(sandbox, tag):
    with sandbox.client("ecr") as ecr:
        found = ecr.describe_images(repositoryName="ki-rag-api", imageIds=[{"imageTag": tag}])
    return found["imageDetails"][0]["imageDigest"]


@pytest.fixture
def gh(sandbox, tmp_path):
    return install_gh(tmp_path / "bin", {digest_of(sandbox, "good"): SIGNER})


def required(sandbox, folder, gh, wanted, *flags, **environment):
    variables = {"PATH": f"{gh}:{SYSTEM}", "GITHUB_TOKEN": "ghs_of_the_job", **environment}
    return deploy(sandbox, folder, *flags, "--require-attestation", wanted, **variables)


GOOD, V1 = ("--image", image("good")), ("--image", image("v1"))
REFUSED = {
    "none": (WORKFLOW, V1, 3, "has no attestation in acme/rag"),
    "another ref": (f"{WORKFLOW}@refs/heads/x", GOOD, 3, f"is attested by {SIGNER}"),
    "another repository": ("acme/other", GOOD, 3, "is not attested by acme/other: verifying with issuer"),
    "another server": (
        "https://gitlab.com/acme/rag",
        GOOD,
        2,
        "names gitlab.com, not github.com, which is asked",
    ),
    "no signer": ("acme", GOOD, 2, "neither repository nor workflow"),
    "built now": (WORKFLOW, ("--context", ".", "--image-tag", "new"), 2, "what is built here has none"),
    "of several services": (WORKFLOW, ("--service", "other", *V1), 3, "has no attestation in acme/rag"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_attested_as_it_must_be_changes_nothing(sandbox, tmp_path, gh, case):
    wanted, flags, exit_code, says = REFUSED[case]
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    with sandbox.client() as ecs:
        known = ecs.list_services(cluster="ki-cluster")["serviceArns"]
        if "other" in flags and not any(arn.endswith("/other") for arn in known):
            ecs.create_service(
                cluster="ki-cluster", serviceName="other", taskDefinition="ki-rag-api", desiredCount=0
            )
    more = ("--allow-desired-zero",) if "other" in flags else ()
    ran = required(sandbox, tmp_path, gh, wanted, *flags, *more)
    assert ran.exit_code == exit_code, ran.shown
    assert says in ran.shown
    assert ran.changes == []
    if exit_code == 3:
        assert [each["code"] for each in ran.result["diagnoses"]] == ["attestation"]


LYING = {
    "an empty list": ("echo '[]'", 3, "named no attestation"),
    "nothing": ("true", 2, "did not answer in JSON"),
    "deep": ("head -c 200000 /dev/zero | tr '\\0' '['", 2, "did not answer in JSON"),
    "huge": ("head -c 30000000 /dev/zero", 2, "did not answer in JSON"),
    "the token": ('echo "Error: with $GH_TOKEN: denied" >&2; exit 1', 3, "with ***: denied"),
}


@pytest.mark.parametrize("case", LYING)
def test_a_verifier_that_lies_lets_nothing_pass_and_shows_no_token(sandbox, tmp_path, gh, case):
    script, exit_code, says = LYING[case]
    (gh / "gh").write_text(f"#!/bin/sh\n{script}\n")
    ran = required(sandbox, tmp_path, gh, WORKFLOW, *GOOD)
    assert ran.exit_code == exit_code, ran.shown
    assert says in ran.shown
    assert ran.changes == []
    shown = [line for line in ran.shown.splitlines() if not line.startswith("::add-mask::")]
    assert "ghs_of_the_job" not in "\n".join(shown) + str(ran.result)


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"PATH": "/nowhere"}, "there is no command `gh` here"),
        ({"GITHUB_TOKEN": ""}, "GitHub wants a token"),
    ],
    ids=["no gh", "no token"],
)
def test_what_is_missing_to_verify_is_said(sandbox, tmp_path, gh, environment, says):
    ran = required(sandbox, tmp_path, gh, WORKFLOW, "--image", image("good"), **environment)
    assert ran.exit_code in {2, 3}
    assert says in ran.shown
    assert ran.changes == []


def test_an_attested_image_is_deployed_by_its_digest_and_nothing_else_is_rolled_back_to(
    sandbox, tmp_path, gh
):
    (gh / "failures.txt").write_text("Error: HTTP 502: Bad Gateway (https://api.github.com/x)\n")
    inputs = {
        "cluster": "ki-cluster",
        "service": "ki-rag-api",
        "image": image("good"),
        "require-attestation": f"acme/rag\n{SIGNER}",
        "github-token": "ghp_another",
        "result-file": "result.json",
    }
    secret = {"AWS_SECRET_ACCESS_KEY": "of-the-sandbox", "ACTIONS_RUNTIME_TOKEN": "x"}
    ran = act(sandbox, tmp_path, inputs, PATH=f"{gh}:{SYSTEM}", **secret)
    assert ran.exit_code == 0, ran.shown
    assert f"is attested by {SIGNER} (built in acme/rag, commit 0123456789ab)" in ran.shown
    assert ran.result["image"].endswith(f"@{digest_of(sandbox, 'good')}"), "a tag may move"
    finding = next(each for each in ran.result["findings"] if each["code"] == "attestation")
    assert finding["hint"] == "https://github.com/acme/rag/actions/runs/7/attempts/1"
    first, second = asked_of_gh(gh)
    assert "--signer-workflow" in second["argv"]
    assert second["argv"][second["argv"].index("--repo") + 1] == "acme/rag"
    assert second["environment"]["GH_TOKEN"] == "ghp_another"
    assert not {*secret, "INPUTS", "GITHUB_TOKEN"} & set(first["environment"])
    assert "ghp_another" not in " ".join(second["argv"]) + ran.shown.replace("::add-mask::ghp_another", "")

    variables = {"PATH": f"{gh}:{SYSTEM}", "GITHUB_TOKEN": "ghs_of_the_job"}
    back = run(
        sandbox,
        tmp_path,
        "rollback",
        *("--cluster", "ki-cluster", "--service", "ki-rag-api", "--require-attestation", WORKFLOW),
        **variables,
    )
    assert back.exit_code == 3, back.shown
    assert "ki-rag-api@sha256:" in back.result["reason"]
    assert "has no attestation in acme/rag" in back.result["reason"]
    assert back.changes == []
