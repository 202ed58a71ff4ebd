"""Task definitions over the wire: nothing is lost, nothing is added, and only what was asked for changes."""

import json
import shlex
import subprocess
import sys

import pytest

from program import deploy, image
from sandbox_process import clean_environment, sandbox_thread


@pytest.fixture
def sandbox():
    with sandbox_thread() as running:
        yield running


def _registered(sandbox, name="ki-rag-api"):
    """Return the raw JSON that the sandbox keeps, which no SDK has had its hands on."""
    import urllib.request

    request = urllib.request.Request(
        sandbox.endpoint,
        data=json.dumps({"taskDefinition": name, "include": ["TAGS"]}).encode(),
        headers={
            "X-Amz-Target": "AmazonEC2ContainerServiceV20141113.DescribeTaskDefinition",
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": "AWS4-HMAC-SHA256 Credential=A/20261123/eu-central-1/ecs/aws4_request",
        },
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def _container(answer, name="ki-rag-api"):
    return next(c for c in answer["taskDefinition"]["containerDefinitions"] if c["name"] == name)


DEFINITION = {
    "family": "ki-rag-api",
    "requiresCompatibilities": ["EC2"],
    "networkMode": "bridge",
    "quantumScheduling": {"entangled": True, "depth": 0},
    "containerDefinitions": [
        {
            "name": "ki-rag-api",
            "image": image("v1"),
            "memory": 8192,
            "command": ["--suffix", ""],
            "dockerLabels": {"rule": "^a=b=c"},
            "environment": [{"name": "EMPTY", "value": ""}],
            "resourceRequirements": [
                {"type": "GPU", "sharingStrategy": {"nvidiaMps": {"memory": 4096}, "futureKnob": 7}}
            ],
            "portMappings": [{"containerPort": 8000, "hostPort": 0}],
            "aFieldOfTomorrow": {"nested": [1, {"x": None}]},
        },
        {
            "name": "otel",
            "image": f"{image('v1').partition(':')[0]}@sha256:{'a' * 64}",
            "memory": 128,
            "essential": False,
        },
    ],
}


def test_fields_that_no_sdk_knows_survive_a_file(sandbox, tmp_path):
    """Issues #701, #704, #464, #430, #810 of the official deploy action."""
    (tmp_path / "td.json").write_text(json.dumps(DEFINITION), encoding="utf-8")
    deploy(
        sandbox,
        tmp_path,
        "--task-definition=td.json",
        f"--image=ki-rag-api={image('good')}",
        "--timeout=5s",
    )
    answer = _registered(sandbox)
    container = _container(answer)
    assert answer["taskDefinition"]["quantumScheduling"] == {"entangled": True, "depth": 0}
    assert container["aFieldOfTomorrow"] == {"nested": [1, {"x": None}]}
    assert container["resourceRequirements"] == DEFINITION["containerDefinitions"][0]["resourceRequirements"]
    assert container["command"] == ["--suffix", ""]
    assert container["dockerLabels"] == {"rule": "^a=b=c"}
    assert container["environment"] == [{"name": "EMPTY", "value": ""}]


@pytest.mark.parametrize("source", ["/dev/stdin", "<(cat td.json)"])
def test_a_definition_that_can_be_read_only_once_is_deployed(sandbox, tmp_path, source):
    text = json.dumps(DEFINITION)
    (tmp_path / "td.json").write_text(text, encoding="utf-8")
    line = f"{shlex.quote(sys.executable)} -m ecs_gpu_deploy deploy --cluster ki-cluster --service ki-rag-api"
    ran = subprocess.run(
        ["bash", "-c", f"{line} --task-definition {source} --timeout 5s --result-file result.json"],
        cwd=tmp_path,
        env=clean_environment(sandbox),
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 6, ran.stdout + ran.stderr
    assert _registered(sandbox)["taskDefinition"]["quantumScheduling"] == {"entangled": True, "depth": 0}


def test_a_digest_pinned_sidecar_is_left_alone(sandbox, tmp_path):
    """fabfuel/ecs-deploy made sidecar@sha256:newtag of it."""
    (tmp_path / "td.json").write_text(json.dumps(DEFINITION), encoding="utf-8")
    deploy(
        sandbox,
        tmp_path,
        "--task-definition=td.json",
        f"--image=ki-rag-api={image('good')}",
        "--timeout=5s",
    )
    answer = _registered(sandbox)
    assert _container(answer)["image"] == image("good")
    assert _container(answer, "otel")["image"] == DEFINITION["containerDefinitions"][1]["image"]


def test_fields_that_no_sdk_knows_survive_the_way_from_the_running_revision(sandbox, tmp_path):
    (tmp_path / "td.json").write_text(json.dumps(DEFINITION), encoding="utf-8")
    first = deploy(
        sandbox, tmp_path, "--task-definition=td.json", f"--image=ki-rag-api={image('good')}", "--timeout=5s"
    )
    second = deploy(
        sandbox,
        tmp_path,
        "--container=ki-rag-api",
        "--environment=LOG_LEVEL=debug",
        "--ongoing=supersede",
        "--timeout=5s",
    )
    assert second.result["task_definition_arn"].endswith("ki-rag-api:3"), second.shown
    assert first.result["task_definition_arn"].endswith("ki-rag-api:2")
    answer = _registered(sandbox)
    assert answer["taskDefinition"]["quantumScheduling"] == {"entangled": True, "depth": 0}
    assert _container(answer)["aFieldOfTomorrow"] == {"nested": [1, {"x": None}]}
    assert {"name": "LOG_LEVEL", "value": "debug"} in _container(answer)["environment"]


def test_a_yaml_file_with_the_wrapper_of_describe_and_its_tags_is_accepted(sandbox, tmp_path):
    text = """
taskDefinition:
  taskDefinitionArn: arn:aws:ecs:eu-central-1:123456789012:task-definition/ki-rag-api:9
  revision: 9
  status: ACTIVE
  family: ki-rag-api
  requiresCompatibilities: [EC2]
  containerDefinitions:
    - {name: ki-rag-api, image: "x", memory: 512, portMappings: [{containerPort: 8000, hostPort: 0}]}
tags:
  - {key: team, value: rag}
"""
    (tmp_path / "td.yml").write_text(text, encoding="utf-8")
    deploy(sandbox, tmp_path, "--task-definition=td.yml", f"--image={image('good')}", "--timeout=5s")
    answer = _registered(sandbox)
    assert {"key": "team", "value": "rag"} in answer["tags"]
    assert answer["taskDefinition"]["revision"] == 2
    assert _container(answer)["image"] == image("good")


def test_overrides_land_where_they_belong_and_their_values_are_masked_in_the_log(sandbox, tmp_path):
    run = deploy(
        sandbox,
        tmp_path,
        f"--image={image('good')}",
        "--environment=TOKEN=hunter2",
        "--gpu=ALL",
        "--memory=4096",
        "--health-check=startPeriod: 300",
        "--log-options=mode=non-blocking",
        "--set=containerDefinitions[0].stopTimeout: 90",
        "--timeout=5s",
    )
    container = _container(_registered(sandbox))
    assert {"name": "TOKEN", "value": "hunter2"} in container["environment"]
    assert container["resourceRequirements"] == [{"type": "GPU", "value": "ALL"}]
    assert container["memory"] == 4096
    assert container["healthCheck"]["startPeriod"] == 300
    assert container["healthCheck"]["interval"] == 15
    assert container["logConfiguration"]["options"]["mode"] == "non-blocking"
    assert container["stopTimeout"] == 90
    assert "hunter2" not in run.shown + json.dumps(run.result)
    assert "environment[TOKEN]" in run.shown


def test_a_second_run_registers_no_second_revision(sandbox, tmp_path):
    first = deploy(sandbox, tmp_path, f"--image={image('good')}")
    second = deploy(sandbox, tmp_path, f"--image={image('good')}")
    assert first.exit_code == second.exit_code == 0
    assert second.result["task_definition_arn"] == first.result["task_definition_arn"]
    assert "RegisterTaskDefinition" not in second.operations


def test_a_family_starts_from_its_latest_revision_and_a_revision_from_itself(sandbox, tmp_path):
    deploy(sandbox, tmp_path, "--environment=A=1", "--timeout=5s")
    deploy(sandbox, tmp_path, "--task-definition=ki-rag-api:1", "--ongoing=supersede", "--timeout=5s")
    with sandbox.client() as ecs:
        [service] = ecs.describe_services(cluster="ki-cluster", services=["ki-rag-api"])["services"]
        assert service["taskDefinition"].endswith("ki-rag-api:1")
    run = deploy(sandbox, tmp_path, "--task-definition=ki-rag-api", "--ongoing=supersede", "--timeout=5s")
    assert run.result["task_definition_arn"].endswith("ki-rag-api:2")
    assert "RegisterTaskDefinition" not in run.operations
