"""Worlds for tests: the sandbox's default one with a few things changed."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml

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
