"""What the official actions' own tests ask of them: it holds here, or docs/migrate.md says what differs.

Each behaviour of tools/official_actions.yml names the test that shows it, or what differs. The looks below
share one local AWS.
"""

import json
import re
from pathlib import Path

import pytest
import yaml

from program import deploy, image, run
from sandbox_process import sandbox_thread
from worlds import default_world

ROOT = Path(__file__).parents[2]
ACTIONS = yaml.safe_load((ROOT / "tools" / "official_actions.yml").read_text(encoding="utf-8"))
BEHAVIOURS = [each for action in ACTIONS.values() for each in action.get("behaviours", {}).items()]
AT_LEAST = 40
EBS = "arn:aws:iam::123456789012:role/ecs-ebs"
VOLUME = {"name": "scratch", "roleArn": EBS, "encrypted": False, "sizeInGiB": 30, "filesystemType": "xfs"}
LATE = [{"name": "scratch", "configuredAtLaunch": True}]
ROLE = "arn:aws-cn:iam::123456789012:role/team/rag-task"
CLUSTER = ("--cluster", "ki-cluster")


def test_each_behaviour_is_shown_by_a_test_or_told_in_the_migration_page():
    page = (ROOT / "docs" / "migrate.md").read_text(encoding="utf-8")
    here = Path(__file__).read_text(encoding="utf-8")
    for behaviour, how in BEHAVIOURS:
        assert how.keys() in ({"shown"}, {"differs"}), behaviour
        assert f"| {behaviour} |" in page
        assert how.get("differs", "").replace("|", "&#124;") in page
        where, _, name = how.get("shown", "").rpartition(": ")
        text = (ROOT / where).read_text(encoding="utf-8") if where else here
        assert not name or any(f"{kind}{name}" in text for kind in ("def ", "- scenario: ", "- world: ")), how
    assert len(BEHAVIOURS) >= AT_LEAST
    shown = {how.get("shown") for _, how in BEHAVIOURS}
    assert set(re.findall(r"^def (test_\w+)\(sandbox", here, re.MULTILINE)) <= shown


@pytest.fixture(scope="module")
def sandbox():
    world = default_world()
    world["images"] += [
        {"image": "job:once", "exit_code": 0, "exit_after": 20},
        {"image": "job:broken", "exit_code": 3, "exit_after": 20},
    ]
    machines = {"type": "g5.xlarge", "count": 1}
    world["capacity_providers"] = [{"name": "gpus", "cluster": "ki-cluster", "instances": machines}]
    with sandbox_thread(json.dumps(world)) as running:
        yield running


def definition(**changes):
    """Return the service's task definition as a file has it, with what DescribeTaskDefinition adds."""
    [known] = default_world()["task_definitions"]
    return {
        **known,
        "revision": 7,
        "status": "ACTIVE",
        "registeredAt": 1611690781,
        "ipcMode": None,
        **changes,
    }


def write(folder, name="task-definition.json", **changes):
    (folder / name).write_text(json.dumps(definition(**changes)))
    return folder / name


def job(folder, tag="once", **changes):
    container = {"name": "main", "image": image("x").replace("ki-rag-api:x", f"job:{tag}"), "memory": 64}
    body = {"family": "job", "networkMode": "bridge", "containerDefinitions": [container], **changes}
    (folder / f"{tag}.json").write_text(json.dumps(body))
    return f"{tag}.json"


def last(sandbox, operation):
    return sandbox.calls(operation)[-1]["parameters"]


def rendered(sandbox, folder, *flags, **changes):
    """Render a file without asking AWS; return the run, and what was written."""
    ran = run(sandbox, folder, "render", "--task-definition", write(folder, **changes), *flags)
    written = ran.result.get("task_definition_file") or ran.result.get("task_definition") or ""
    body = json.loads(Path(written).read_text(encoding="utf-8")) if ran.exit_code == 0 else {}
    return ran, body


def test_a_file_is_registered_and_the_service_updated_to_it(sandbox, tmp_path):
    container = dict(definition()["containerDefinitions"][0])
    container["environment"] = [{"name": "hello", "value": "world"}, {"name": "test", "value": ""}]
    file = write(tmp_path, containerDefinitions=[container])
    ran = deploy(sandbox, tmp_path, "--task-definition", file.resolve(), "--desired-count", "1")
    assert (ran.exit_code, ran.result["outcome"]) == (0, "succeeded"), ran.shown
    registered, updated = last(sandbox, "RegisterTaskDefinition"), last(sandbox, "UpdateService")
    assert not registered.keys() & {"ipcMode", "revision", "status", "registeredAt"}
    assert {"name": "test", "value": ""} in registered["containerDefinitions"][0]["environment"]
    assert updated["taskDefinition"] == ran.result["task_definition_arn"]
    assert (updated["forceNewDeployment"], updated["desiredCount"]) == (True, 1)
    assert not updated.keys() & {"propagateTags", "enableECSManagedTags", "volumeConfigurations"}


def test_tags_are_propagated_and_managed_as_it_is_said(sandbox, tmp_path):
    began = ("--wait", "false", "--ongoing", "supersede")
    flags = ("--propagate-tags", "SERVICE", "--enable-ecs-managed-tags", "true")
    ran = deploy(sandbox, tmp_path, "--image", image("good"), *flags, *began)
    assert ran.exit_code == 0, ran.shown
    updated = last(sandbox, "UpdateService")
    assert (updated["propagateTags"], updated["enableECSManagedTags"]) == ("SERVICE", True)
    ran = deploy(sandbox, tmp_path, "--image", image("v1"), "--enable-ecs-managed-tags", "false", *began)
    assert ran.exit_code == 0, ran.shown
    updated = last(sandbox, "UpdateService")
    assert (updated["enableECSManagedTags"], "propagateTags" in updated) == (False, False)
    with sandbox.client() as ecs:
        [service] = ecs.describe_services(cluster="ki-cluster", services=["ki-rag-api"])["services"]
    assert (service["propagateTags"], service["enableECSManagedTags"]) == ("SERVICE", False)


def test_the_services_ebs_volume_comes_changes_and_goes(sandbox, tmp_path):
    began = ("--wait", "false", "--ongoing", "supersede", "--task-definition", write(tmp_path, volumes=LATE))
    settings = {key: value for key, value in VOLUME.items() if key != "name"}
    for size in (30, 50):
        ran = deploy(sandbox, tmp_path, *began, "--volume", json.dumps(VOLUME | {"sizeInGiB": size}))
        assert ran.exit_code == 0, ran.shown
        [sent] = last(sandbox, "UpdateService")["volumeConfigurations"]
        assert sent == {"name": "scratch", "managedEBSVolume": settings | {"sizeInGiB": size}}
    ran = deploy(sandbox, tmp_path, *began)
    assert "volumeConfigurations" not in last(sandbox, "UpdateService"), ran.shown
    ran = run(sandbox, tmp_path, "run-task", *CLUSTER, "--service", "ki-rag-api", "--wait", "false")
    assert last(sandbox, "RunTask")["volumeConfigurations"] == [sent], ran.shown
    ran = deploy(sandbox, tmp_path, *began[:-1], write(tmp_path), "--volume", json.dumps(VOLUME))
    assert (ran.exit_code, ran.changes) == (2, []), ran.shown
    assert "leaves no volume of that name to the launch" in ran.shown
    ran = deploy(sandbox, tmp_path, *began[:-1], write(tmp_path))
    assert (ran.exit_code, last(sandbox, "UpdateService")["volumeConfigurations"]) == (0, []), ran.shown


def test_a_task_is_run_with_its_options_and_waited_for(sandbox, tmp_path):
    overrides = json.dumps({"main": {"command": ["migrate"]}})
    ran = run(
        *(sandbox, tmp_path, "run-task", *CLUSTER, "--task-definition", job(tmp_path)),
        *("--started-by", "somebody", "--tags", "team=ml", "--container-overrides", overrides),
        *("--launch-type", "ec2", "--enable-ecs-managed-tags", "true", "--propagate-tags", "TASK_DEFINITION"),
    )
    assert (ran.exit_code, ran.result["outcome"]) == (0, "succeeded"), ran.shown
    [task] = ran.result["tasks"]
    asked = last(sandbox, "RunTask")
    assert (asked["launchType"], asked["startedBy"]) == ("EC2", "somebody")
    assert (asked["enableECSManagedTags"], asked["propagateTags"]) == (True, "TASK_DEFINITION")
    assert {"key": "team", "value": "ml"} in asked["tags"]
    assert asked["overrides"] == {"containerOverrides": [{"name": "main", "command": ["migrate"]}]}
    assert not asked.keys() & {"networkConfiguration", "capacityProviderStrategy"}
    with sandbox.client() as ecs:
        [seen] = ecs.describe_tasks(cluster="ki-cluster", tasks=[task["task_arn"]], include=["TAGS"])["tasks"]
    assert {"key": "aws:ecs:clusterName", "value": "ki-cluster"} in seen["tags"]


def test_a_task_takes_a_strategy_with_a_base_and_a_volume(sandbox, tmp_path):
    strategy = json.dumps([{"capacityProvider": "gpus", "weight": 1, "base": 1}])
    flags = ("run-task", *CLUSTER, "--task-definition", job(tmp_path, volumes=LATE), "--wait", "false")
    both = ("--capacity-providers", strategy, "--volume", json.dumps(VOLUME))
    ran = run(sandbox, tmp_path, *flags, *both, "--enable-ecs-managed-tags", "false")
    assert ran.exit_code == 0, ran.shown
    asked = last(sandbox, "RunTask")
    assert (asked["capacityProviderStrategy"], asked["enableECSManagedTags"]) == (json.loads(strategy), False)
    assert "launchType" not in asked
    assert asked["volumeConfigurations"][0]["managedEBSVolume"]["sizeInGiB"] == 30
    for command in (flags, ("deploy", *CLUSTER, "--service", "ki-rag-api", "--image", image("good"))):
        ran = run(sandbox, tmp_path, *command, "--capacity-providers", "gpus=1,1\nspot")
        assert (ran.exit_code, ran.changes) == (2, []), ran.shown
        assert "has no capacity provider 'spot'" in ran.shown
        assert "It has gpus." in ran.shown


def test_a_task_that_fails_is_an_error(sandbox, tmp_path):
    ran = run(sandbox, tmp_path, "run-task", *CLUSTER, "--task-definition", job(tmp_path, "broken"))
    assert (ran.exit_code, ran.result["outcome"]) == (7, "failed"), ran.shown


def test_without_a_service_a_revision_is_registered_and_nothing_updated(sandbox, tmp_path):
    ran = run(sandbox, tmp_path, "register", "--task-definition", job(tmp_path, "once", cpu="64"))
    assert (ran.exit_code, ran.changes) == (0, ["RegisterTaskDefinition"]), ran.shown
    assert ran.result["task_definition_arn"].startswith(
        "arn:aws:ecs:eu-central-1:123456789012:task-definition/"
    )


def test_without_a_cluster_it_is_the_default_one(sandbox, tmp_path):
    ran = deploy(sandbox, tmp_path, "--image", image("good"), cluster=None)
    assert (ran.exit_code, ran.changes) == (2, []), ran.shown
    assert last(sandbox, "DescribeServices")["cluster"] == "default"


def test_what_is_not_there_or_not_right_ends_it_before_anything_is_changed(sandbox, tmp_path):
    (tmp_path / "appspec.yml").write_text("version: 0.0\n")
    (tmp_path / "broken.json").write_text("{ not json")
    write(tmp_path, "containers.json", containerDefinitions={"name": "x"})
    write(tmp_path, "none.json", containerDefinitions=[])
    for flags, said in (
        (("--service", "nobody"), "no active service"),
        (("--service", "ki-rag-api", "--codedeploy-appspec", "appspec.yml"), "appspec.yml"),
        (("--service", "ki-rag-api", "--task-definition", "gone.json"), "gone.json"),
        (("--service", "ki-rag-api", "--task-definition", "broken.json"), "broken.json"),
        (("--service", "ki-rag-api", "--task-definition", "containers.json"), "containerDefinitions"),
        (("--service", "ki-rag-api", "--task-definition", "none.json"), "containerDefinitions"),
        (("--service", "ki-rag-api", "--image", "nobody=x:1"), "nobody"),
        (("--service", "ki-rag-api", "--propagate-tags", "TASKS"), "propagate-tags"),
    ):
        ran = run(sandbox, tmp_path, "deploy", *CLUSTER, *flags)
        assert (ran.exit_code, ran.changes) == (2, []), ran.shown
        assert said in ran.shown
    ran = run(sandbox, tmp_path, "render")
    assert ran.exit_code == 2
    assert "Neither task-definition nor service" in ran.shown


def test_a_definition_is_rendered_into_a_new_file(sandbox, tmp_path):
    ran, body = rendered(
        *(sandbox, tmp_path, "--image", "ki-rag-api=repo/rag:2", "--environment", "FOO=bar"),
        *("--environment", "NVIDIA_DRIVER_CAPABILITIES=all", "--docker-labels", "key1=value1"),
        *("--secrets", "KEY=arn:aws:ssm:eu-central-1:123456789012:parameter/key"),
        *("--command-override", "npm start --nice --please", "--log-driver", "awslogs"),
        *("--log-options", "awslogs-group=/ecs/other", "--env-files", "arn:aws:s3:::bucket/app.env"),
        *("--task-role-arn", ROLE, "--execution-role-arn", ROLE.replace("-cn", "")),
    )
    assert ran.exit_code == 0, ran.shown
    assert ran.operations == ()
    [container] = body["containerDefinitions"]
    assert container["image"] == "repo/rag:2"
    assert container["environment"] == [
        {"name": "NVIDIA_DRIVER_CAPABILITIES", "value": "all"},
        {"name": "FOO", "value": "bar"},
    ]
    assert [secret["name"] for secret in container["secrets"]] == ["OPENAI_API_KEY", "KEY"]
    assert container["command"] == ["npm", "start", "--nice", "--please"]
    assert container["logConfiguration"]["logDriver"] == "awslogs"
    assert container["logConfiguration"]["options"]["awslogs-group"] == "/ecs/other"
    assert container["logConfiguration"]["options"]["awslogs-stream-prefix"] == "ecs"
    assert container["dockerLabels"] == {"key1": "value1"}
    assert container["environmentFiles"] == [{"value": "arn:aws:s3:::bucket/app.env", "type": "s3"}]
    assert (body["taskRoleArn"], body["executionRoleArn"]) == (ROLE, ROLE.replace("-cn", ""))
    assert not body.keys() & {"revision", "status", "registeredAt"}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--task-role-arn", "arn:aws:s3:::bucket"), "task-role-arn"),
        (("--execution-role-arn", "arn:aws:iam::123456789012:user/me"), "execution-role-arn"),
        (("--container", "nobody"), "nobody"),
        (("--log-driver", "floppy"), "log-driver"),
        (("--image", "=x:1"), "image"),
    ],
)
def test_what_cannot_be_rendered_is_refused_by_its_name(sandbox, tmp_path, flags, said):
    ran, _ = rendered(sandbox, tmp_path, *flags)
    assert ran.exit_code == 2, ran.shown
    assert said in ran.shown


def test_a_registered_definition_is_named_by_arn_family_or_revision(sandbox, tmp_path):
    arn = "arn:aws:ecs:eu-central-1:123456789012:task-definition/ki-rag-api:1"
    for name in ("ki-rag-api", "ki-rag-api:1", arn):
        ran = run(sandbox, tmp_path, "render", "--task-definition", name, "--image", image("good"))
        assert ran.exit_code == 0, ran.shown
        assert last(sandbox, "DescribeTaskDefinition")["include"] == ["TAGS"]
    ran = run(sandbox, tmp_path, "render", "--task-definition", "3", "--image", image("good"))
    assert (ran.exit_code, "There is no task definition '3'" in ran.shown) == (2, True)


def test_a_registry_that_is_none_or_gives_no_password_is_an_error(sandbox, tmp_path):
    ran = run(sandbox, tmp_path, "login", "--registry", "docker.io")
    assert (ran.exit_code, "docker.io" in ran.shown) == (2, True)
