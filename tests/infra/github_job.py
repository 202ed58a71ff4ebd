"""A job of GitHub's against the applied stack: its token is its only credential."""

from __future__ import annotations

from collections.abc import Mapping

import yaml
from iam_requests import ACCOUNT

from sandbox_process import RunningSandbox, clean_environment

OIDC_PROVIDER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"


def make_way_for_terraform(sandbox: RunningSandbox) -> None:
    """Delete the world's identity provider for GitHub: Terraform makes its own, and an account has one."""
    with sandbox.client("iam") as iam:
        iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=OIDC_PROVIDER)


def deployed(inputs: Mapping[str, str]) -> dict[str, str]:
    """Return the inputs of a deployment of an image that is there already: nothing is built."""
    return {key: value for key, value in inputs.items() if key not in ("repository", "cache-image")}


def job_environment(sandbox: RunningSandbox, **more: str) -> dict[str, str]:
    """Return the environment of a GitHub job: its token is the only credential."""
    environment = clean_environment(sandbox, **sandbox.announcement["github_environment"], **more)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del environment[name]
    return environment


def printed_step(workflow: str, name: str, *, image: str) -> dict[str, str]:
    """Return the inputs of a step of the printed workflow, with the image that an earlier step gave."""
    steps = yaml.safe_load(workflow)["jobs"]["deploy"]["steps"]
    [inputs] = [step["with"] for step in steps if step.get("name") == name]
    assert inputs["image"] == "${{ steps.push.outputs.image }}"
    return {**inputs, "image": image}
