"""Worlds for tests: the sandbox's default one with a few things changed."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml

from sandbox_process import RunningSandbox

ISSUER = "token.actions.githubusercontent.com"
ROLE = "arn:aws:iam::123456789012:role/deploy"
SUBJECT = "repo:acme/rag:ref:refs/heads/main"


def default_world() -> dict[str, Any]:
    """Return the sandbox's default world as a mapping that may be changed."""
    text = files("ecs_gpu_deploy.sandbox.world").joinpath("default_world.yml").read_text(encoding="utf-8")
    world: dict[str, Any] = yaml.safe_load(text)
    return world


def trusted(*subjects: str, audience: str = "sts.amazonaws.com", hours: int = 1) -> dict[str, Any]:
    """Return the role `deploy` whose trust policy admits these subjects of GitHub's tokens."""
    condition = {f"{ISSUER}:aud": audience, f"{ISSUER}:sub": list(subjects)}
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::123456789012:oidc-provider/{ISSUER}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": condition},
    }
    return {
        "name": "deploy",
        "trust": {"Version": "2012-10-17", "Statement": [statement]},
        "max_session_duration": hours * 3600,
    }


def github_world(*subjects: str, **github: Any) -> dict[str, Any]:
    """Return the default world with GitHub's issuer for acme/rag and a role that admits *subjects*."""
    world = default_world()
    world["github"] = {"repository": "acme/rag", **github}
    world["roles"] = [*world["roles"], trusted(*(subjects or (SUBJECT,)))]
    return world


def codedeploy_world() -> dict[str, Any]:
    """Return the default world, with its service under CODE_DEPLOY and room for both task sets."""
    world = default_world()
    service = world["services"][0]
    service["deploymentController"] = {"type": "CODE_DEPLOY"}
    service["deploymentConfiguration"] = {}
    world["instances"] = [{"type": "g5.xlarge", "count": 4, "cached_images": ["ki-rag-api:v1"]}]
    return world


def put_codedeploy_group(sandbox: RunningSandbox, *, termination: int = 1, **more: Any) -> None:
    """Have the application and the deployment group under their default names."""
    name = "ki-cluster-ki-rag-api"
    with sandbox.client("codedeploy") as codedeploy:
        codedeploy.create_application(applicationName=f"AppECS-{name}", computePlatform="ECS")
        group = {
            "deploymentStyle": {
                "deploymentType": "BLUE_GREEN",
                "deploymentOption": "WITH_TRAFFIC_CONTROL",
            },
            "blueGreenDeploymentConfiguration": {
                "terminateBlueInstancesOnDeploymentSuccess": {
                    "action": "TERMINATE",
                    "terminationWaitTimeInMinutes": termination,
                },
                "deploymentReadyOption": {
                    "actionOnTimeout": "CONTINUE_DEPLOYMENT",
                    "waitTimeInMinutes": 0,
                },
            },
            "autoRollbackConfiguration": {"enabled": True, "events": ["DEPLOYMENT_FAILURE"]},
            "ecsServices": [{"serviceName": "ki-rag-api", "clusterName": "ki-cluster"}],
            **more,
        }
        codedeploy.create_deployment_group(
            applicationName=f"AppECS-{name}",
            deploymentGroupName=f"DgpECS-{name}",
            deploymentConfigName="CodeDeployDefault.ECSAllAtOnce",
            serviceRoleArn="arn:aws:iam::123456789012:role/codedeploy",
            **group,
        )
