"""Game day: five versions, the fourth breaks, then back by each of the five ways, to what was said."""

import json

import pytest
import yaml

from program import REGISTRY, run_program
from sandbox_process import sandbox_thread
from worlds import default_world

SHAS = [letter * 7 + "0" * 33 for letter in "abcde"]
SERVICE = ("--cluster", "ki-cluster", "--service", "ki-rag-api")


def _world():
    world = default_world()
    base = world["images"][1]["layers"][:3]
    for number, sha in enumerate(SHAS):
        broken = (
            {"load_seconds": None, "exit_code": 1, "exit_after": 5} if number == 3 else {"load_seconds": 20}
        )
        layers = [*base, {"name": f"code-{number}", "mb": 2}]
        world["images"].append({"image": f"ki-rag-api:{sha}", "layers": layers, **broken})
    return yaml.safe_dump(world)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    with sandbox_thread(_world()) as running:
        folder = tmp_path_factory.mktemp("deploys")
        outcomes = [
            run_program(
                running,
                folder,
                ["deploy", *SERVICE, "--image", f"{REGISTRY}:{sha}"],
                GITHUB_SHA=sha,
                GITHUB_REPOSITORY="acme/rag",
                GITHUB_RUN_ID=str(number),
                GITHUB_ACTOR="eva",
            ).result["outcome"]
            for number, sha in enumerate(SHAS)
        ]
        assert outcomes == ["succeeded"] * 3 + ["rolled_back", "succeeded"]
        yield running


def _running(sandbox):
    """Return the revision that the service runs and the digests of its running tasks."""
    with sandbox.client() as ecs:
        [service] = ecs.describe_services(cluster="ki-cluster", services=["ki-rag-api"])["services"]
        arns = ecs.list_tasks(cluster="ki-cluster", serviceName="ki-rag-api")["taskArns"]
        tasks = ecs.describe_tasks(cluster="ki-cluster", tasks=arns)["tasks"]
    running = [task for task in tasks if task["lastStatus"] == "RUNNING"]
    return service["taskDefinition"], {c["imageDigest"] for task in running for c in task["containers"]}


def _digest(sandbox, tag):
    with sandbox.client("ecr") as ecr:
        found = ecr.describe_images(repositoryName="ki-rag-api", imageIds=[{"imageTag": tag}])
    return found["imageDetails"][0]["imageDigest"]


@pytest.mark.parametrize(
    ("to", "revision", "tag"),
    [
        ("previous", 4, SHAS[2]),
        ("2", 2, SHAS[0]),
        ("ki-rag-api:3", 3, SHAS[1]),
        (SHAS[4][:9], 6, SHAS[4]),
        ("digest of v1", 1, "v1"),
    ],
    ids=["the last good one", "a revision", "family and revision", "a commit", "a digest"],
)
def test_it_ends_with_the_revision_and_the_digest_that_it_said(sandbox, tmp_path, to, revision, tag):
    digest = _digest(sandbox, tag)
    run = run_program(
        sandbox, tmp_path, ["rollback", *SERVICE, "--to", digest if to.startswith("digest") else to]
    )
    assert run.exit_code == 0, run.shown
    assert run.result["task_definition_arn"].endswith(f"/ki-rag-api:{revision}")
    assert run.result["image_digest"] == digest
    assert f"→ ki-rag-api:{revision}" in run.result["reason"]
    assert _running(sandbox) == (run.result["task_definition_arn"], {digest})
    # One call tags it as good; on the way to an older revision one more tells where it came from.
    forward = to in {"ki-rag-api:3", SHAS[4][:9]}
    assert run.changes == ["UpdateService", *(["TagResource"] * (1 if forward else 2))]
    if to == "previous":
        assert run.operations.index("UpdateService") < 8, run.operations


def test_the_history_tells_the_day(sandbox, tmp_path):
    run = run_program(sandbox, tmp_path, ["history", *SERVICE, "--all"])
    assert run.exit_code == 0
    rows = run.result["history"]
    assert [row["outcome"] for row in rows].count("rolled back") == 1
    roles = [row["role"] for row in rows]
    # The first of all runs again: what came after it was left, and nothing ran before it.
    assert (roles[0], roles.count("previous")) == ("current", 0)
    by_commit = {row["commit"]: row for row in rows if row["commit"]}
    assert set(by_commit) == set(SHAS)
    assert by_commit[SHAS[0]]["commit_url"] == f"https://github.com/acme/rag/commit/{SHAS[0]}"
    assert {row["by"] for row in by_commit.values()} == {"eva"}
    assert {row["in_ecr"] for row in rows} == {"yes"}
    assert run.changes == []


def test_a_json_history_is_nothing_but_json_on_standard_output(sandbox, tmp_path):
    run = run_program(sandbox, tmp_path, ["history", *SERVICE, "--output", "json", "--limit", "2"])
    document = json.loads(run.shown[run.shown.index("{\n") :])
    assert document == run.result
    assert len(document["history"]) == 2
