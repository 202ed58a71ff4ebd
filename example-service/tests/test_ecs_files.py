"""The ECS files: valid for AWS's own model, right where the article is wrong, and fit for the image."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.validate import ParamValidator

from conftest import unless_it_can_be_had
from rag_service.serving import server_config
from rag_service.settings import Settings
from running import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
INFRA = ROOT.parent / "example-infra"
WORLD = ROOT.parent / "src" / "ecs_gpu_deploy" / "sandbox" / "world" / "default_world.yml"


def load(name: str) -> Any:
    return json.loads((ROOT / "ecs" / f"{name}.json").read_text())


def container(name: str) -> dict[str, Any]:
    [only] = load(name)["containerDefinitions"]
    return only


@pytest.mark.parametrize(
    ("name", "service", "operation"),
    [
        ("task-definition", "ecs", "RegisterTaskDefinition"),
        ("task-definition-batch", "ecs", "RegisterTaskDefinition"),
        ("service", "ecs", "CreateService"),
        ("target-group", "elbv2", "CreateTargetGroup"),
    ],
)
def test_a_file_is_valid_input_of_its_operation(name: str, service: str, operation: str) -> None:
    client = boto3.client(service, region_name="eu-central-1")
    shape = client.meta.service_model.operation_model(operation).input_shape
    assert ParamValidator().validate(load(name), shape).generate_report() == ""


def test_the_files_say_what_the_sandbox_rehearses() -> None:
    unless_it_can_be_had(None if WORLD.exists() else "the sandbox is not beside this folder")
    world = yaml.safe_load(WORLD.read_text())
    [rehearsed] = world["task_definitions"]
    [wanted] = rehearsed.pop("containerDefinitions")
    ours = load("task-definition")
    assert rehearsed.items() <= {key: ours[key] for key in rehearsed}.items()
    assert all(entry in container("task-definition")["environment"] for entry in wanted.pop("environment"))
    assert all(entry in container("task-definition")["secrets"] for entry in wanted.pop("secrets"))
    assert {key: container("task-definition")[key] for key in wanted} == wanted
    [service] = world["services"]
    [balancer] = service.pop("loadBalancers")
    assert {key: load("service")[key] for key in service} == service
    assert load("service")["loadBalancers"][0]["containerName"] == balancer["containerName"]
    [group] = world["target_groups"]
    attributes = {entry["Key"]: int(entry["Value"]) for entry in load("target-group-attributes")}
    assert attributes == group.pop("Attributes")
    assert {key: load("target-group")[key] for key in group} == group


def test_the_files_say_what_the_terraform_sets_up() -> None:
    unless_it_can_be_had(None if INFRA.exists() else "the Terraform is not beside this folder")
    told, service, variables = (
        (INFRA / f"{name}.tf").read_text() for name in ("container", "modules/service/main", "variables")
    )
    service = told + service
    ours = container("task-definition")
    names = re.findall(r'{ name = "([A-Z_]+)",\s+value =', service.split("container = {")[0])
    names = [name for name in names if not name.startswith("OIDC_")]
    assert sorted(names) == sorted(entry["name"] for entry in ours["environment"])
    assert re.findall(r'name = "([A-Z_]+)", valueFrom', service) == [s["name"] for s in ours["secrets"]]
    assert f'user                   = "{ours["user"]}"' in service
    assert "readonlyRootFilesystem = true" in service
    for name in ("initProcessEnabled", "sharedMemorySize"):
        [value] = re.findall(rf"{name} += (\w+)", service)
        assert value == json.dumps(ours["linuxParameters"][name])
    [tmpfs] = ours["linuxParameters"]["tmpfs"]
    assert f'containerPath = "{tmpfs["containerPath"]}", size = {tmpfs["size"]}' in service
    defaults = dict(re.findall(r'variable "(\w+)" {[^}]*?default += "?([\w-]+)"?\n', variables))
    assert defaults["name"] == load("service")["serviceName"] == ours["name"]
    assert defaults["cluster_name"] == load("service")["cluster"]
    assert int(defaults["container_port"]) == ours["portMappings"][0]["containerPort"]


@pytest.mark.parametrize("name", ["task-definition", "task-definition-batch"])
def test_a_task_is_fit_for_the_image(name: str) -> None:
    definition = container(name)
    environment = {entry["name"]: entry["value"] for entry in definition["environment"]}
    ours = {name: value for name, value in environment.items() if name != "NVIDIA_DRIVER_CAPABILITIES"}
    assert {variable.lower() for variable in ours} <= set(Settings.model_fields), (
        "a setting that nobody reads"
    )
    assert environment["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"
    assert definition["resourceRequirements"] == [{"type": "GPU", "value": "1"}]
    assert definition["readonlyRootFilesystem"] is True
    assert definition["user"] == "10001:10001"
    assert "ARG USER_ID=10001" in DOCKERFILE
    assert not any("KEY" in entry["name"] for entry in definition["environment"]), "a secret in plain sight"


def test_the_service_has_time_to_stop_and_to_load() -> None:
    definition, service, group = container("task-definition"), load("service"), load("target-group")
    environment = {entry["name"]: entry["value"] for entry in definition["environment"]}
    attributes = {entry["Key"]: int(entry["Value"]) for entry in load("target-group-attributes")}
    assert float(environment["STOP_TIMEOUT_SECONDS"]) < definition["stopTimeout"]
    assert attributes["deregistration_delay.timeout_seconds"] >= Settings().request_timeout_seconds
    check = definition["healthCheck"]
    container_allows = check["startPeriod"] + check["retries"] * check["interval"]
    target_allows = group["UnhealthyThresholdCount"] * group["HealthCheckIntervalSeconds"]
    assert container_allows >= 240
    assert service["healthCheckGracePeriodSeconds"] >= container_allows > target_allows


def test_the_health_checks_ask_what_the_image_serves() -> None:
    command = container("task-definition")["healthCheck"]["command"]
    assert command[0] == "CMD", "no shell, no curl"
    [image_asks] = re.findall(r"HEALTHCHECK .*\\\n +CMD (\[.*\])", DOCKERFILE)
    at_port = json.loads(image_asks)[2].replace("import os, ", "import ").replace("f'", "'")
    assert command[1:] == ["python", "-c", at_port.replace('{os.environ["PORT"]}', "8000")]
    assert "curl" not in re.sub(r"(?m)^#.*$", "", DOCKERFILE)


def test_the_dockerfile_keeps_its_promises() -> None:
    lines = re.sub(r"\\\n\s*", " ", re.sub(r"(?m)^\s*#.*\n", "", DOCKERFILE)).splitlines()
    final = lines[max(index for index, line in enumerate(lines) if line.startswith("FROM")) :]
    assert final[0] == "FROM ${BASE}"
    copies = [line for line in final if line.startswith("COPY")]
    assert [re.search(r"--from=(\w+)", line)[1] for line in copies] == ["torch", "libraries", "model", "code"]  # type: ignore[index]
    assert not [line for line in final if re.search(r"\b(apt-get|pip|gcc|build-essential)\b", line)]
    assert [line for line in lines if "pip install" in line]
    assert all(
        "--require-hashes" in line and "--only-binary :all:" in line
        for line in lines
        if "pip install" in line
    )
    for wanted in ("STOPSIGNAL SIGTERM", "USER ${USER_ID}:${USER_ID}", 'CMD ["python", "-m", "rag_service"]'):
        assert wanted in final


@pytest.mark.parametrize("seconds", [1, 55, 3600])
def test_an_idle_connection_is_closed_by_the_load_balancer_and_never_by_the_service(seconds: int) -> None:
    # Who closes while the other sends makes a 502 (AWS, "Troubleshoot your Application Load Balancers").
    derived = (INFRA / "modules/service/derived.tf").read_text()
    [margin] = re.findall(r"idle_timeout += min\(4000, var\.request_timeout_seconds \+ (\d+)\)", derived)
    config = server_config(Settings(request_timeout_seconds=seconds), None)
    assert config.timeout_keep_alive > seconds + int(margin)


def test_locks_name_no_address_and_have_a_hash_for_everything() -> None:
    for lock in Path(ROOT, "locks").glob("*.txt"):
        entries = re.split(r"\n(?=\S)", lock.read_text().rstrip("\n"))
        assert entries
        for entry in entries:
            assert re.match(r"[a-z0-9._-]+==\S+", entry), entry
            assert "--hash=sha256:" in entry, entry
            assert "://" not in entry


def test_the_image_has_one_torch_and_no_package_twice() -> None:
    def names(*locks: str) -> list[str]:
        texts = [Path(ROOT, "locks", f"{lock}.txt").read_text() for lock in locks]
        return [name for text in texts for name in set(re.findall(r"(?m)^([a-z0-9._-]+)==", text))]

    for torch in ("torch-cuda", "torch-cpu"):
        packages = names(torch, "runtime", "model")
        assert "torch" in packages
        assert len(packages) == len(set(packages))
