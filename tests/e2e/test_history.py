"""history: few calls for a long past, and what it says where AWS shows less."""

import pytest
import yaml

from program import REGISTRY, run_program
from sandbox_process import sandbox_thread
from worlds import default_world

SERVICE = ("--cluster", "ki-cluster", "--service", "ki-rag-api")


def test_a_hundred_revisions_take_at_most_fifteen_calls(tmp_path):
    with sandbox_thread() as sandbox:
        with sandbox.client() as ecs:
            described = ecs.describe_task_definition(taskDefinition="ki-rag-api")["taskDefinition"]
            names = ("family", "containerDefinitions", "networkMode", "executionRoleArn", "taskRoleArn")
            definition = {name: described[name] for name in names}
            for number in range(100):
                tags = [
                    {"key": "ecs-gpu-deploy:version", "value": "1"},
                    {"key": "ecs-gpu-deploy:commit", "value": f"{number:07x}" * 5},
                ]
                ecs.register_task_definition(**definition, tags=tags)
                ecs.update_service(
                    cluster="ki-cluster", service="ki-rag-api", taskDefinition=f"ki-rag-api:{number + 2}"
                )
                sandbox.advance(1)
        run = run_program(sandbox, tmp_path, ["history", *SERVICE, "--all"])
    assert run.exit_code == 0, run.shown
    assert len(run.operations) <= 15, run.operations
    rows = run.result["history"]
    assert len({row["task_definition_arn"] for row in rows}) == 101
    assert rows[0]["commit"] == f"{99:07x}" * 5


@pytest.mark.parametrize(
    ("deny", "finding"),
    [("ecs:ListServiceDeployments", "cannot-see"), ("ecr:DescribeImages", None), ("tag:GetResources", None)],
)
def test_what_is_denied_costs_only_what_it_would_have_told(tmp_path, deny, finding):
    world = default_world() | {"deny": [deny]}
    with sandbox_thread(yaml.safe_dump(world)) as sandbox:
        run_program(sandbox, tmp_path, ["deploy", *SERVICE, "--image", f"{REGISTRY}:good"])
        run = run_program(sandbox, tmp_path, ["history", *SERVICE])
    assert run.exit_code == 0, run.shown
    rows = run.result["history"]
    assert rows[0]["role"] == "current"
    assert len(rows) == 2
    assert [f["code"] for f in run.result["findings"]] == ([finding] if finding else [])
    assert rows[0]["in_ecr"] == ("unknown" if deny.startswith("ecr") else "yes")


def test_an_image_that_expired_is_gone(tmp_path):
    with sandbox_thread() as sandbox:
        run_program(sandbox, tmp_path, ["deploy", *SERVICE, "--image", f"{REGISTRY}:good"])
        with sandbox.client("ecr") as ecr:
            ecr.batch_delete_image(repositoryName="ki-rag-api", imageIds=[{"imageTag": "v1"}])
        run = run_program(sandbox, tmp_path, ["history", *SERVICE])
    assert [(row["role"], row["in_ecr"]) for row in run.result["history"]] == [
        ("current", "yes"),
        ("previous", "gone"),
    ]


def test_of_more_tags_than_a_revision_takes_the_last_are_left_out(tmp_path):
    arn = "arn:aws:ecs:eu-central-1:123456789012:task-definition/ki-rag-api:1"
    with sandbox_thread() as sandbox, sandbox.client() as ecs:
        there = len(ecs.list_tags_for_resource(resourceArn=arn)["tags"])
        own = [{"key": f"own-{number}", "value": "1"} for number in range(48 - there)]
        ecs.tag_resource(resourceArn=arn, tags=own)
        run = run_program(sandbox, tmp_path, ["deploy", *SERVICE, "--task-definition", "ki-rag-api:1"])
        keys = {tag["key"] for tag in ecs.list_tags_for_resource(resourceArn=arn)["tags"]}
    assert run.exit_code == 0, run.shown
    assert {key for key in keys if key.startswith("ecs-gpu-deploy:")} == {
        "ecs-gpu-deploy:deployment-0",
        "ecs-gpu-deploy:succeeded",
    }
    assert len(keys) == 50
