"""Three workflows of public repositories, rewritten, and the rollback in one click: run whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from action_tools import ROOT, Ended, action_process, diagnostics, ended, put_environment, runner_environment
from test_workflows import linted

from docker_services import PATH, Services, busybox_context, docker_services
from github_stand_in import Answer, github_stand_in
from sandbox_process import RunningSandbox, clean_environment, sandbox_thread
from worlds import ROLE, default_world, trusted

FOLDER = ROOT / "docs" / "workflows" / "rewritten"
SHA = "0123456789abcdef0123456789abcdef01234567"
SUBJECT = "repo:acme/rag:ref:refs/heads/main"


def world(
    *, region: str, cluster: str, families: Mapping[str, str], repositories: list[str]
) -> dict[str, Any]:
    """Return a world with a service for each family, `family → container`, on images that load in 30 s."""
    made = default_world()
    told = json.loads(json.dumps(made).replace("eu-central-1", region).replace("ki-cluster", cluster))
    [definition], [service] = told["task_definitions"], told["services"]
    for member in ("loadBalancers", "healthCheckGracePeriodSeconds"):
        del service[member]
    [container] = definition["containerDefinitions"]
    told["task_definitions"] = [
        {**definition, "family": family, "containerDefinitions": [{**container, "name": name}]}
        for family, name in families.items()
    ]
    told["services"] = [
        {**service, "serviceName": family, "taskDefinition": family, "desiredCount": 1} for family in families
    ]
    image = {"load_seconds": 30, "layers": [{"name": "all", "mb": 100}]}
    told["images"] += [{"image": f"{name}:v1", **image} for name in repositories]
    told["instances"][0] |= {"count": 2 * len(families) + 1, "cluster": cluster}
    return {
        **told,
        "github": {"repository": "acme/rag"},
        "roles": [*told["roles"], trusted(SUBJECT)],
        "repositories": repositories,
    }


def run(
    name: str,
    sandbox: RunningSandbox,
    folder: Path,
    inputs: Mapping[str, str],
    variables: Mapping[str, str],
    **more: str,
) -> Ended:
    """Start the workflow as somebody on GitHub would; its token is its only credential."""
    runner = runner_environment(folder)
    put_environment(runner)
    environment = clean_environment(sandbox, **sandbox.announcement["github_environment"], **runner | more)
    for secret in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del environment[secret]
    github = {
        "SHA": SHA,
        "REPOSITORY": "acme/rag",
        "REF": "refs/heads/main",
        "REF_NAME": "main",
        "RUN_ID": "1",
    }
    environment |= {f"GITHUB_{name}": value for name, value in github.items()}
    process = action_process(
        ROOT,
        inputs,
        environment,
        folder,
        workflow=FOLDER / f"{name}.yml",
        started=True,
        variables={"DEPLOY_ROLE": ROLE, **variables},
    )
    return ended(process)


def runs(sandbox: RunningSandbox, cluster: str, *services: str) -> dict[str, Any]:
    """Return of each service the container that its revision has."""
    found = {}
    with sandbox.client() as ecs:
        for one in ecs.describe_services(cluster=cluster, services=list(services))["services"]:
            definition = ecs.describe_task_definition(taskDefinition=one["taskDefinition"])["taskDefinition"]
            [found[one["serviceName"]]] = definition["containerDefinitions"]
    return found


def test_github_s_language_service_and_actionlint_find_nothing() -> None:
    files = sorted(FOLDER.glob("*.yml"))
    assert len(files) == 3
    assert diagnostics(*files) == []
    assert linted(*files) == []
    for file in files:
        assert yaml.safe_load(file.read_text(encoding="utf-8"))["permissions"] == {}


def test_an_image_that_is_there_goes_to_an_application_and_its_queue(tmp_path: Path) -> None:
    families = {"payroll-dev": "app", "payroll-dev-queue": "queue"}
    made = world(region="us-east-1", cluster="payroll-dev", families=families, repositories=["payroll"])
    made["services"][0]["serviceName"] = "payroll-dev-app"
    made["images"].append({"image": "payroll:42", "load_seconds": 30, "layers": [{"name": "all", "mb": 100}]})
    repository = "123456789012.dkr.ecr.us-east-1.amazonaws.com/payroll"
    with sandbox_thread(json.dumps(made)) as sandbox:
        variables = {"IMAGE_REPOSITORY": repository}
        missing = {"environment": "dev", "image_tag": "43"}
        over = run("one-image-two-services", sandbox, tmp_path, missing, variables)
        assert {name: job["result"] for name, job in over.jobs.items()} == {
            "app": "failure",
            "queue": "skipped",
        }
        assert over.jobs["app"]["outputs"]["exit-code"] == "2", over.stdout
        assert sandbox.calls("UpdateService") == [], "an image that is not there changes nothing"
        over = run("one-image-two-services", sandbox, tmp_path, missing | {"image_tag": "42"}, variables)
        assert over.code == 0, over.stdout
        containers = runs(sandbox, "payroll-dev", "payroll-dev-app", "payroll-dev-queue")
    assert {name: job["outputs"]["outcome"] for name, job in over.jobs.items()} == {
        "app": "succeeded",
        "queue": "succeeded",
    }
    for container in containers.values():
        assert container["image"] == f"{repository}:42"
        assert {"name": "IMAGE_TAG", "value": "42"} in container["environment"]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with docker_services(tmp_path_factory.mktemp("docker")) as running:
        yield running


def built(services: Services, folder: Path) -> dict[str, str]:
    """Return the environment of builds, on this network and with no file of the machine's own."""
    return {**services.environment, "PATH": f"{folder / 'interpreters'}:{PATH}", "DOCKER_BUILDKIT": "1"}


def test_a_backend_and_its_worker_are_built_and_deployed(tmp_path: Path, services: Services) -> None:
    families = {"backend": "backend", "ingest-worker": "worker"}
    names = ["chat-backend", "chat-worker"]
    made = world(region="us-east-2", cluster="chat-dev", families=families, repositories=names)
    for definition, name in zip(made["task_definitions"], names, strict=True):
        image = f"123456789012.dkr.ecr.us-east-2.amazonaws.com/{name}:v1"
        definition["containerDefinitions"][0]["image"] = image
    made["images"] += [{"image": f"{name}:*", "load_seconds": 30, "in_registry": False} for name in names]
    made["registry"] = services.world_registry
    end = 'COPY app.py /app.py\nENTRYPOINT ["/bin/sh"]\n'
    busybox_context(tmp_path, dockerfile=end)
    (tmp_path / "Dockerfile").rename(tmp_path / "Self-Hosted-Dockerfile")
    busybox_context(tmp_path / "ai_ta_backend" / "rabbitmq", dockerfile=end + "ENV WORKER=1\n")
    with sandbox_thread(json.dumps(made)) as sandbox:
        environment = built(services, tmp_path)
        over = run("two-images-two-services", sandbox, tmp_path, {}, {}, **environment)
        assert over.code == 0, over.stdout
        containers = runs(sandbox, "chat-dev", *families)
        for name, job in zip(names, over.jobs.values(), strict=True):
            assert job["outputs"]["outcome"] == "succeeded"
            for tag in (f"main-{SHA}", "main", "latest"):
                assert (
                    json.loads(services.inspected(f"{name}:{tag}"))["Digest"]
                    == job["outputs"]["image-digest"]
                )
    assert [one["image"].rpartition("/")[2] for one in containers.values()] == [
        f"{name}:main-{SHA}" for name in names
    ]


def test_migrate_deploy_smoke_and_the_way_back(tmp_path: Path, services: Services) -> None:
    families = {"dataspace": "dataspace", "dataspace-otel-collector": "collector"}
    made = world(region="eu-central-1", cluster="dataspace", families=families, repositories=["dataspace"])
    for definition in made["task_definitions"]:
        image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/dataspace:v1"
        definition["containerDefinitions"][0]["image"] = image
    migration = {"python manage.py migrate*": {"exit_code": 0, "exit_after": 20}}
    made["images"].append(
        {"image": "dataspace:*", "load_seconds": 30, "in_registry": False, "commands": migration}
    )
    made["registry"] = services.world_registry
    busybox_context(tmp_path, dockerfile='COPY app.py /app.py\nENTRYPOINT ["/bin/sh"]\n')
    variables = {"AWS_REGION": "eu-central-1", "ECS_CLUSTER": "dataspace", "ECS_SERVICE": "dataspace"}
    variables["ECS_OTEL_SERVICE"] = "dataspace-otel-collector"
    with sandbox_thread(json.dumps(made)) as sandbox, github_stand_in(lambda _: Answer(503)) as (url, _):
        over = run(
            "migrate-deploy-smoke",
            sandbox,
            tmp_path,
            {},
            variables | {"API_BASE_URL": url},
            **built(services, tmp_path),
        )
        assert over.code != 0, "a smoke test that failed is a run that failed"
        migrations = sandbox.calls("RunTask")
        containers = runs(sandbox, "dataspace", "dataspace")
    results = {name: (job["result"], job["outputs"].get("outcome")) for name, job in over.jobs.items()}
    assert results == {
        "deploy": ("success", "succeeded"),
        "smoke": ("failure", None),
        "rollback": ("success", "succeeded"),
        "collector": ("success", "succeeded"),
    }, over.stdout
    [override] = migrations[0]["parameters"]["overrides"]["containerOverrides"]
    assert override["command"] == ["python", "manage.py", "migrate", "--noinput"]
    assert containers["dataspace"]["image"].endswith("dataspace:v1")


def test_one_click_goes_back_to_previous_and_refuses_what_names_nothing(tmp_path: Path) -> None:
    made = {**default_world(), "github": {"repository": "acme/rag"}}
    made["roles"] = [*made["roles"], trusted(SUBJECT)]
    asked = {"service": "ki-rag-api", "environment": "production", "reason": "slow answers"}
    with sandbox_thread(json.dumps(made)) as sandbox:
        with sandbox.client() as ecs:
            definition = ecs.describe_task_definition(taskDefinition="ki-rag-api")["taskDefinition"]
            containers = definition["containerDefinitions"]
            containers[0]["image"] = containers[0]["image"].replace(":v1", ":good")
            kept = ("executionRoleArn", "taskRoleArn", "networkMode", "requiresCompatibilities")
            again = {name: definition[name] for name in kept}
            ecs.register_task_definition(family="ki-rag-api", containerDefinitions=containers, **again)
            ecs.update_service(cluster="ki-cluster", service="ki-rag-api", taskDefinition="ki-rag-api")
            sandbox.advance(1800)
        before = len(sandbox.calls("UpdateService"))
        over = run("../rollback", sandbox, tmp_path, asked | {"target": "a commit"}, {})
        assert over.outputs["exit-code"] == "2", over.stdout
        assert len(sandbox.calls("UpdateService")) == before
        over = run("../rollback", sandbox, tmp_path, asked, {})
        assert over.outputs["outcome"] == "succeeded", over.stdout
        containers = runs(sandbox, "ki-cluster", "ki-rag-api")
    assert containers["ki-rag-api"]["image"].endswith("ki-rag-api:v1")
