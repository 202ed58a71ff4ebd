"""Where a run comes from: what the CI system tells in the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ecs_gpu_deploy import __version__
from ecs_gpu_deploy.core.definition.provenance import Provenance


def provenance_from_environment(environment: Mapping[str, str] = os.environ) -> Provenance:
    """Return commit, repository, run and person: of GitHub, GitLab, CodeBuild or Jenkins, in this order.

    Source: GitHub "Default environment variables", GitLab "Predefined CI/CD variables reference", AWS
    "Environment variables in build environments", Jenkins "Using environment variables".
    """

    def first(*names: str) -> str:
        return next((environment[name] for name in names if environment.get(name)), "")

    server, repository = (
        environment.get("GITHUB_SERVER_URL", "https://github.com"),
        first("GITHUB_REPOSITORY"),
    )
    run = environment.get("GITHUB_RUN_ID", "")
    github_run = f"{server}/{repository}/actions/runs/{run}" if repository and run else ""
    return Provenance(
        commit=first("GITHUB_SHA", "CI_COMMIT_SHA", "CODEBUILD_RESOLVED_SOURCE_VERSION", "GIT_COMMIT"),
        repository=repository or _public(first("CI_PROJECT_PATH", "CODEBUILD_SOURCE_REPO_URL", "GIT_URL")),
        run=github_run or first("CI_JOB_URL", "CODEBUILD_PUBLIC_BUILD_URL", "BUILD_URL"),
        actor=first("GITHUB_TRIGGERING_ACTOR", "GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILD_USER_ID"),
        version=__version__,
    )


def _public(address: str) -> str:
    """Return an address without the user and password that it may carry."""
    scheme, colon, rest = address.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if colon else address


def run_of_environment(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return what names this step of this attempt of this run, and nothing outside a CI system.

    First what the run is called, last the attempt: what is the same in a re-run comes first.
    """
    names: tuple[str, ...] = ("BUILD_TAG",)
    if environment.get("GITHUB_RUN_ID"):
        names = ("GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_JOB", "GITHUB_ACTION", "GITHUB_RUN_ATTEMPT")
    elif environment.get("CI_PIPELINE_ID"):
        names = ("CI_PROJECT_PATH", "CI_PIPELINE_ID", "CI_JOB_NAME", "CI_NODE_INDEX", "CI_JOB_ID")
    elif environment.get("CODEBUILD_BUILD_ID"):
        names = ("CODEBUILD_BUILD_ID",)
    return tuple(environment.get(name, "") for name in names) if environment.get(names[0]) else ()
