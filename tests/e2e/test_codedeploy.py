"""A service that CodeDeploy deploys, on the local AWS: moto's application and group, the model's tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from program import image, run
from sandbox_process import RunningSandbox, sandbox_thread
from worlds import codedeploy_world, put_codedeploy_group

SERVICE = ("--cluster", "ki-cluster", "--service", "ki-rag-api")


@contextmanager
def _sandbox(world: Mapping[str, Any] | None = None, **group: Any) -> Iterator[RunningSandbox]:
    with sandbox_thread(json.dumps(world or codedeploy_world())) as sandbox:
        put_codedeploy_group(sandbox, **group)
        yield sandbox


def _runs(sandbox: RunningSandbox) -> str:
    with sandbox.client("ecs") as ecs:
        [service] = ecs.describe_services(cluster="ki-cluster", services=["ki-rag-api"])["services"]
    [primary] = [each for each in service["taskSets"] if each["status"] == "PRIMARY"]
    return str(primary["taskDefinition"]).rpartition("/")[2]


def test_a_good_version_goes_through_its_stages_and_back_again(tmp_path: Any) -> None:
    with _sandbox() as sandbox:
        ahead = ("--preflight", "error")
        deployed = run(sandbox, tmp_path, "deploy", *SERVICE, "--image", image("good"), *ahead)
        assert deployed.exit_code == 0, deployed.shown
        assert "preflight: The rollout of ki-rag-api fits now" in deployed.shown
        assert deployed.result["plan"]["steps"][1]["operation"] == "codedeploy:CreateDeployment"
        assert deployed.result["service_deployment_arn"] == ""
        assert deployed.result["codedeploy_deployment_id"].startswith("d-")
        assert "stage Install" in deployed.shown
        assert "keeps the original ones for 1 min" in deployed.shown
        assert _runs(sandbox) == "ki-rag-api:2"
        history = run(sandbox, tmp_path, "history", *SERVICE)
        assert [row["outcome"] for row in history.result["history"]] == ["succeeded"], history.shown
        back = run(sandbox, tmp_path, "rollback", *SERVICE, "--to", "1")
        assert back.exit_code == 0, back.shown
        assert _runs(sandbox) == "ki-rag-api:1"


def test_a_bad_version_is_stopped_and_goes_back_with_its_cause(tmp_path: Any) -> None:
    with _sandbox() as sandbox:
        ran = run(sandbox, tmp_path, "deploy", *SERVICE, "--image", image("bad"), "--on-failure", "rollback")
        assert ran.exit_code == 4, ran.shown
        assert ran.result["diagnoses"][0]["code"] == "cuda-out-of-memory"
        assert "The rollback to ki-rag-api:1 that on-failure asks for ended" in ran.result["reason"]
        assert _runs(sandbox) == "ki-rag-api:1"
        with sandbox.client("codedeploy") as codedeploy:
            made = codedeploy.get_deployment(deploymentId=ran.result["codedeploy_deployment_id"])
        info = made["deploymentInfo"]
        assert (info["status"], info["errorInformation"]["code"]) == ("Stopped", "MANUAL_STOP")


@pytest.mark.parametrize("alone", ["update-service", "second-deployment"])
def test_what_aws_refuses_is_refused_here(alone: str) -> None:
    with _sandbox() as sandbox:
        content = {
            "Resources": [
                {"T": {"Type": "AWS::ECS::Service", "Properties": {"TaskDefinition": "ki-rag-api:1"}}}
            ]
        }
        name = "ki-cluster-ki-rag-api"
        request = {
            "applicationName": f"AppECS-{name}",
            "deploymentGroupName": f"DgpECS-{name}",
            "revision": {
                "revisionType": "AppSpecContent",
                "appSpecContent": {"content": json.dumps(content)},
            },
        }
        if alone == "update-service":
            with sandbox.client("ecs") as ecs, pytest.raises(ecs.exceptions.InvalidParameterException):
                ecs.update_service(cluster="ki-cluster", service="ki-rag-api", taskDefinition="ki-rag-api:1")
            return
        with sandbox.client("codedeploy") as codedeploy:
            codedeploy.create_deployment(**request)
            with pytest.raises(codedeploy.exceptions.DeploymentLimitExceededException):
                codedeploy.create_deployment(**request)


def test_an_alarm_of_the_group_stops_it_and_codedeploy_goes_back(tmp_path: Any) -> None:
    alarms = {"enabled": True, "alarms": [{"name": "rag-5xx"}]}
    back = {"enabled": True, "events": ["DEPLOYMENT_STOP_ON_ALARM"]}
    world = {**codedeploy_world(), "timeline": [{"at": 400, "alarm": "rag-5xx"}]}
    with _sandbox(
        world, termination=30, alarmConfiguration=alarms, autoRollbackConfiguration=back
    ) as sandbox:
        ran = run(sandbox, tmp_path, "deploy", *SERVICE, "--image", image("good"))
        assert ran.exit_code == 5, ran.shown
        assert [each["code"] for each in ran.result["diagnoses"]] == ["alarm"]
        assert "Activated alarms: <rag-5xx>" in ran.result["reason"]


def test_nobody_sends_the_traffic_on_and_codedeploy_gives_up(tmp_path: Any) -> None:
    waits = {
        "terminateBlueInstancesOnDeploymentSuccess": {"action": "TERMINATE"},
        "deploymentReadyOption": {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 5},
    }
    with _sandbox(blueGreenDeploymentConfiguration=waits) as sandbox:
        ran = run(sandbox, tmp_path, "deploy", *SERVICE, "--image", image("good"))
        assert ran.exit_code == 5, ran.shown
        assert ran.result["diagnoses"][0]["code"] == "hook-failed"
        assert "aws deploy continue-deployment" in ran.shown
