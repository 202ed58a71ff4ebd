"""World files: refused in one sentence each, settled as they say, and changed while they run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.sandbox.http.serve import read_world
from ecs_gpu_deploy.sandbox.http.server import SandboxServer
from ecs_gpu_deploy.sandbox.world.world import World, members, schema
from sandbox_process import START, sandbox_thread, world_of

TASK_DEFINITION = """
task_definitions:
  - family: app
    containerDefinitions: [{name: app, image: "app:1", memory: 128}]
"""

mistakes = [
    pytest.param("[1]", "must be a mapping", id="a list"),
    pytest.param("a: [", "cannot be read (line 1)", id="broken YAML"),
    pytest.param("region: x\nregion: y", "the key 'region' stands twice", id="a key twice"),
    pytest.param(
        "clustrs: [a]", "unknown member 'clustrs'; did you mean 'clusters'?", id="a misspelt member"
    ),
    pytest.param("clusters: 3", "clusters: 3 is not of type array.", id="a number for a list"),
    pytest.param(
        "account: 123456789012", "account: 123456789012 is not of type string", id="an account as a number"
    ),
    pytest.param("region: moon", "region: 'moon' does not match", id="a region that is none"),
    pytest.param(
        "instances: [{type: g5.xlarge, gpu: 2}]",
        "instances[0]: unknown member 'gpu'; did you mean 'gpus'?",
        id="a misspelt member of an instance",
    ),
    pytest.param(
        "instances: [{type: g99.xlarge}]",
        "instances[0]: the instance type 'g99.xlarge' is not in the table",
        id="an unknown instance type without its size",
    ),
    pytest.param(
        "instances: [{type: g5.xlarge, cluster: other}]\nclusters: [one]",
        "instances[0]: there is no cluster 'other'; the world has one.",
        id="an instance of a cluster that is not there",
    ),
    pytest.param(
        "instances: [{type: g5.xlarge, cached_images: [x]}]",
        "there is no image 'x' in the world",
        id="a cached image that is not there",
    ),
    pytest.param(
        "images: [{image: a, lod_seconds: 1}]",
        "images[0]: unknown member 'lod_seconds'; did you mean 'load_seconds'?",
        id="a misspelt behaviour",
    ),
    pytest.param(
        "images: [{image: a, load_seconds: soon}]",
        'images[0].load_seconds: "soon" is not of type number or null.',
        id="a time that is no number",
    ),
    pytest.param(
        "images: [{load_seconds: 1}]", "images[0]: the member 'image' is missing.", id="an image unnamed"
    ),
    pytest.param(
        "faults: [{error: X}]", "faults[0]: the member 'operation' is missing.", id="a fault of nothing"
    ),
    pytest.param(
        "timeline: [{at: 3}]", "timeline[0]: nothing is said to happen.", id="a moment without content"
    ),
    pytest.param(
        "target_groups: [{Name: a, Protocol: GOPHER}]",
        'target_groups[0].Protocol: "GOPHER" is none of HTTP, HTTPS, TCP, TLS.',
        id="a protocol that ELB does not have",
    ),
    pytest.param(
        "start_time: yesterday", "start_time 'yesterday' is not a time.", id="a start time that is none"
    ),
    pytest.param(
        "task_definitions: [{family: a, containerDefinitions: []}]",
        "task_definitions[0]: Container list cannot be empty.",
        id="a task definition that AWS refuses",
    ),
    pytest.param(
        "services: [{serviceName: a, taskDefinition: b}]",
        "services[0]: TaskDefinition not found.",
        id="a service without its task definition",
    ),
    pytest.param(
        f"{TASK_DEFINITION}services: [{{serviceName: a, taskDefinition: app, desiredCuont: 2}}]",
        'services[0]: Unknown parameter in input: "desiredCuont"',
        id="a misspelt member of CreateService",
    ),
]


@pytest.mark.parametrize(("text", "sentence"), mistakes)
def test_a_mistake_is_refused_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        SandboxServer(world_of(text), speed=None, start_time=START).close()
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=re.escape(f"World file {tmp_path / 'none.yml'} cannot be read")):
        read_world(tmp_path / "none.yml")


def test_the_schema_knows_every_member_and_no_other() -> None:
    assert set(schema()["properties"]) == set(members())


def test_every_member_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")
    for part in (schema(), *schema()["$defs"].values()):
        for name in part.get("properties", ()):
            assert f"`{name}`" in text, f"docs/sandbox.md does not mention `{name}`"


def test_the_default_world_is_steady_with_two_spare_gpus() -> None:
    with sandbox_thread() as sandbox, sandbox.client() as ecs:
        service = ecs.describe_services(cluster="ki-cluster", services=["ki-rag-api"])["services"][0]
        arns = ecs.list_container_instances(cluster="ki-cluster")["containerInstanceArns"]
        instances = ecs.describe_container_instances(cluster="ki-cluster", containerInstances=arns)
        free = [
            len(resource["stringSetValue"])
            for instance in instances["containerInstances"]
            for resource in instance["remainingResources"]
            if resource["name"] == "GPU"
        ]
        assert (service["runningCount"], service["desiredCount"], sorted(free)) == (2, 2, [0, 0, 1, 1])
        assert [one["rolloutState"] for one in service["deployments"]] == ["COMPLETED"]
        assert sandbox.announcement["cluster"] == "ki-cluster"
        assert sandbox.announcement["services"] == ["ki-rag-api"]


def test_an_empty_world_is_an_empty_account() -> None:
    with sandbox_thread(World()) as sandbox, sandbox.client() as ecs:
        assert ecs.list_clusters()["clusterArns"] == []
        assert ecs.create_cluster()["cluster"]["clusterName"] == "default"
        assert sandbox.announcement["services"] == []


def test_services_that_begin_with_the_clock() -> None:
    world = f"""{TASK_DEFINITION}
instances: [{{type: m5.large}}]
services: [{{serviceName: a, taskDefinition: app, steady: false}}]
"""
    with sandbox_thread(world) as sandbox, sandbox.client() as ecs:
        service = ecs.describe_services(services=["a"])["services"][0]
        assert service["createdAt"].timestamp() == START
        assert service["runningCount"] == 0
        sandbox.advance(120)
        assert ecs.describe_services(services=["a"])["services"][0]["runningCount"] == 1


def test_world_can_be_added_while_it_runs() -> None:
    with sandbox_thread() as sandbox, sandbox.client() as ecs, sandbox.client("ecr") as ecr:
        assert len(ecr.describe_images(repositoryName="ki-rag-api")["imageDetails"]) == 6
        sandbox.add(
            {"images": [{"image": "ki-rag-api:v7"}], "instances": [{"type": "g5.xlarge", "count": 3}]}
        )
        tags = [
            tag
            for image in ecr.describe_images(repositoryName="ki-rag-api")["imageDetails"]
            for tag in image["imageTags"]
        ]
        assert "v7" in tags
        assert len(ecs.list_container_instances(cluster="ki-cluster")["containerInstanceArns"]) == 7
        status, answer = sandbox.ask("POST", "world", {"imges": []})
        assert (status, answer["error"][:30]) == (400, "World file (request): unknown ")


def test_a_tag_moves_to_the_image_that_was_added_last() -> None:
    with sandbox_thread() as sandbox, sandbox.client("ecr") as ecr:

        def digest() -> str:
            found = ecr.describe_images(repositoryName="ki-rag-api", imageIds=[{"imageTag": "good"}])
            return str(found["imageDetails"][0]["imageDigest"])

        before = digest()
        sandbox.add({"images": [{"image": "ki-rag-api:good", "load_seconds": 3}]})
        assert digest() != before


def test_the_timeline_happens_at_its_seconds() -> None:
    world = f"""{TASK_DEFINITION}
instances: [{{type: m5.large, count: 2}}]
services: [{{serviceName: a, taskDefinition: app, desiredCount: 2}}]
timeline:
  - {{at: 10, disconnect_agent: 0}}
  - {{at: 20, connect_agent: 0, drain_instance: 1}}
  - {{at: 30, terminate_instance: 0, reason: spot}}
  - {{at: 40, update_service: {{service: a, desiredCount: 0}}}}
  - {{at: 50, add: {{instances: [{{type: m5.large}}]}}}}
"""
    with sandbox_thread(world) as sandbox, sandbox.client() as ecs:

        def instances() -> list[tuple[str, bool]]:
            arns = ecs.list_container_instances()["containerInstanceArns"]
            found = ecs.describe_container_instances(containerInstances=arns)["containerInstances"]
            return [(one["status"], one["agentConnected"]) for one in found]

        sandbox.advance(9)
        assert instances() == [("ACTIVE", True), ("ACTIVE", True)]
        sandbox.advance(1)
        assert instances() == [("ACTIVE", False), ("ACTIVE", True)]
        sandbox.advance(15)
        assert instances() == [("ACTIVE", True), ("DRAINING", True)]
        sandbox.advance(10)
        assert len(instances()) == 1
        sandbox.advance(25)
        assert ecs.describe_services(services=["a"])["services"][0]["desiredCount"] == 0
        assert instances()[-1] == ("ACTIVE", True)
