"""deployment-record: what GitHub is told over real HTTP, and that what it does not take costs a warning."""

import pytest

from github_stand_in import Answer, github_stand_in
from program import deploy, image, run
from sandbox_process import sandbox_thread

SHA = "0123456789abcdef0123456789abcdef01234567"
GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_REPOSITORY": "acme/rag",
    "GITHUB_RUN_ID": "7",
    "GITHUB_SHA": SHA,
    "GITHUB_TOKEN": "ghs_of_the_job",
}
RUN = "https://github.com/acme/rag/actions/runs/7"
STATUSES = "/repos/acme/rag/deployments/42/statuses"
RECORD = "/orgs/acme/artifacts/metadata/deployment-record"


@pytest.fixture(scope="module")
def sandbox():
    with sandbox_thread() as running:
        yield running


def takes_all(asked):
    return Answer(201, {"id": 42, "state": "x", "total_count": 1, "deployment_records": []})


def recorded(sandbox, folder, answered, *flags, **environment):
    """Deploy with a record on the stand-in; return how it ended, and what GitHub was asked."""
    with github_stand_in(answered) as (url, asked):
        variables = {**GITHUB, "GITHUB_API_URL": url, **environment}
        ran = deploy(sandbox, folder, *flags, "--deployment-record", "staging", **variables)
    return ran, asked


def codes(ran):
    return [each["code"] for each in ran.result["findings"] if "record" in each["code"]]


def test_a_deployment_is_created_and_ended_and_the_artifact_recorded(sandbox, tmp_path):
    ran, asked = recorded(sandbox, tmp_path, takes_all, "--image", image("good"))
    assert ran.exit_code == 0, ran.shown
    assert [(each.method, each.path) for each in asked] == [
        ("POST", "/repos/acme/rag/deployments"),
        ("POST", STATUSES),
        ("POST", STATUSES),
        ("POST", RECORD),
    ]
    made, began, ended, record = [each.body for each in asked]
    digest, revision = ran.result["image_digest"], ran.result["task_definition_arn"].rpartition("/")[2]
    assert made["payload"].pop("task_definition") == ran.result["task_definition_arn"]
    assert made == {
        "ref": SHA,
        "task": "deploy",
        "auto_merge": False,
        "required_contexts": [],
        "environment": "staging",
        "description": "ki-rag-api on ki-cluster",
        "payload": {
            "cluster": "ki-cluster",
            "services": ["ki-rag-api"],
            "image": image("good"),
            "digest": digest,
            "run": RUN,
        },
    }
    assert began == {"state": "in_progress", "description": "", "log_url": RUN}
    assert ended["state"] == "success"
    assert ended["description"] == ran.result["reason"][:140]
    assert record == {
        "name": image("good").rpartition(":")[0],
        "digest": digest,
        "version": "good",
        "status": "deployed",
        "logical_environment": "staging",
        "physical_environment": "eu-central-1",
        "cluster": "ki-cluster",
        "deployment_name": "ki-rag-api",
        "github_repository": "rag",
        "tags": {"verdict": "succeeded", "task-definition": revision},
    }
    assert codes(ran) == ["deployment-record"]
    assert {each.headers["Authorization"] for each in asked} == {"Bearer ghs_of_the_job"}


def test_a_rollout_that_fails_is_a_failure_and_a_rollback_has_the_commit_of_its_target(sandbox, tmp_path):
    other = "--commit", "f" * 40
    ran, asked = recorded(sandbox, tmp_path, takes_all, "--image", image("bad"), *other)
    assert ran.exit_code in {4, 5}, ran.shown
    assert [each.path for each in asked] == ["/repos/acme/rag/deployments", STATUSES, STATUSES]
    assert asked[0].body["ref"] == "f" * 40
    assert asked[-1].body["state"] == "failure"

    with github_stand_in(takes_all) as (url, asked):
        flags = ("--cluster", "ki-cluster", "--service", "ki-rag-api", "--to", "1", "--force", "true")
        variables = {**GITHUB, "GITHUB_API_URL": url}
        back = run(sandbox, tmp_path, "rollback", *flags, "--deployment-record", "staging", **variables)
    assert back.exit_code == 0, back.shown
    assert [each.path for each in asked] == [RECORD], "the world's own revision names no commit"
    assert codes(back) == ["deployment-record", "deployment-not-recorded"]
    assert "of which commit the revision is made is not known" in back.shown


DENIED = {"message": "Resource not accessible by integration"}
NEEDS = {"X-Accepted-GitHub-Permissions": "deployments=write"}
UNWILLING = {
    "no permission": (lambda _: Answer(403, DENIED, NEEDS), "needs the permission deployments: write"),
    "GitHub is down": (lambda _: Answer(503, b""), "with 503"),
    "an unknown ref": (lambda _: Answer(422, {"message": "No ref found for: x"}), "No ref found for: x"),
    "GitHub wants a minute": (lambda _: Answer(429, {}, {"Retry-After": "55"}), "Its rate limit is reached"),
    "no id": (lambda _: Answer(202, {"message": "Auto-merged"}), "without the id"),
}


@pytest.mark.parametrize("case", UNWILLING)
def test_what_github_does_not_take_costs_one_warning(sandbox, tmp_path, case):
    answered, says = UNWILLING[case]
    ran, asked = recorded(sandbox, tmp_path, answered, "--image", image("good"), "--settle", "0")
    assert ran.exit_code == 0, ran.shown
    assert case != "GitHub wants a minute" or len(asked) == 2, "a deployment does not wait for that"
    assert [code for code in codes(ran) if code == "deployment-not-recorded"] == ["deployment-not-recorded"]
    assert says in ran.shown


def test_a_token_that_no_header_can_hold_costs_one_warning_and_is_not_said(sandbox, tmp_path):
    ran, asked = recorded(
        sandbox, tmp_path, takes_all, "--image", image("good"), GITHUB_TOKEN="ghs_of_a_job\nX-Evil: 1"
    )
    assert (ran.exit_code, asked) == (0, []), ran.shown
    assert codes(ran) == ["deployment-not-recorded"]
    shown = [line for line in ran.shown.splitlines() if not line.startswith("::add-mask::")]
    assert "ghs_of_a_job" not in "\n".join(shown) + str(ran.result)


def test_an_owner_that_is_no_organization_has_no_artifact_record_and_no_word_about_it(sandbox, tmp_path):
    ran, asked = recorded(
        sandbox,
        tmp_path,
        lambda asked: Answer(404, {"message": "Not Found"}) if asked.path == RECORD else takes_all(asked),
        *("--image", image("good"), "--wait", "false"),
    )
    assert ran.exit_code == 0, ran.shown
    assert asked[-1].body["state"] == "in_progress", "nobody saw how it ends"
    ran, asked = recorded(
        sandbox,
        tmp_path,
        lambda asked: Answer(404, {"message": "Not Found"}) if asked.path == RECORD else takes_all(asked),
        *("--image", image("good"), "--ongoing", "wait"),
    )
    assert codes(ran) == ["deployment-record"], ran.shown
    assert asked[-1].path == RECORD


NOTHING = {
    "no repository": (
        ("--image", image("good")),
        {"GITHUB_REPOSITORY": ""},
        0,
        "GITHUB_REPOSITORY does not say",
    ),
    "no environment": (("--deployment-record", "true"), {}, 2, "names no environment"),
    "no image": (("--image", image("nowhere")), {}, 2, "is not in ECR"),
}


@pytest.mark.parametrize("case", NOTHING)
def test_without_a_repository_an_environment_or_an_image_nothing_is_told(sandbox, tmp_path, case):
    flags, environment, exit_code, says = NOTHING[case]
    with github_stand_in(takes_all) as (url, asked):
        variables = {**GITHUB, "GITHUB_API_URL": url, **environment}
        ran = deploy(sandbox, tmp_path, "--deployment-record", "staging", *flags, **variables)
    assert ran.exit_code == exit_code, ran.shown
    assert says in ran.shown
    assert asked == []


def test_several_services_are_one_deployment_and_a_record_each(sandbox, tmp_path):
    with sandbox.client() as ecs:
        ecs.create_service(
            cluster="ki-cluster", serviceName="other", taskDefinition="ki-rag-api", desiredCount=0
        )
    sandbox.advance(60)
    flags = ("--service", "other", "--image", image("good"), "--allow-desired-zero")
    ran, asked = recorded(sandbox, tmp_path, takes_all, *flags)
    assert ran.exit_code == 0, ran.shown
    assert [each.path for each in asked] == [
        "/repos/acme/rag/deployments",
        STATUSES,
        STATUSES,
        RECORD,
        RECORD,
    ]
    assert asked[0].body["payload"]["services"] == ["ki-rag-api", "other"]
    assert [each.body["deployment_name"] for each in asked[3:]] == ["ki-rag-api", "other"]
