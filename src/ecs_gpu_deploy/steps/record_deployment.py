"""The record of a deployment on GitHub: begun before the service is updated, ended with the verdict.

What GitHub does not take costs a warning, and neither the deployment nor its verdict.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.show.deployment_record import (
    Deployed,
    artifact_bodies,
    deployment_body,
    state_of,
    status_body,
)
from ecs_gpu_deploy.edges.ci.github_api import GitHubApi, GitHubError
from ecs_gpu_deploy.edges.ci.provenance import provenance_from_environment
from ecs_gpu_deploy.facts import RecordBegun
from ecs_gpu_deploy.inputs.requests import DeployRequest
from ecs_gpu_deploy.result import Finding, Outcome, Result, Severity
from ecs_gpu_deploy.steps.render_revision import Rendering

_PATIENCE_SECONDS = 5.0
_ATTEMPTS = 2
_NOT_THERE = 404


def deployed_by(request: DeployRequest, rendering: Rendering, arn: str, services: Sequence[str]) -> Deployed:
    """Return what deploy is about to bring to *services*: the revision *arn* of the *rendering*."""
    return Deployed(
        task="deploy",
        commit=request.commit or provenance_from_environment().commit,
        image=rendering.image,
        digest=rendering.image_digest,
        task_definition=arn,
        cluster=request.cluster,
        services=services,
    )


def begin_record(context: Context, environment: str, deployed: Deployed) -> None:
    """Create the deployment and call it in progress; nothing where no *environment* is given."""
    if not environment:
        return
    repository = os.environ.get("GITHUB_REPOSITORY", "")
    problem, number = "", 0
    if not repository:
        problem = "GITHUB_REPOSITORY does not say of which repository"
    elif not deployed.commit:
        problem = "of which commit the revision is made is not known"
    else:
        try:
            number = _begun(_hurried(context.github), repository, environment, deployed)
        except GitHubError as error:
            problem = _said(error)
    context.record(
        RecordBegun(environment=environment, repository=repository, number=number, problem=problem)
    )


def _begun(api: GitHubApi, repository: str, environment: str, deployed: Deployed) -> int:
    run = provenance_from_environment().run
    made = api.post(
        f"/repos/{repository}/deployments", deployment_body(replace(deployed, run=run), environment)
    )
    number = made.get("id") if isinstance(made, Mapping) else None
    if not isinstance(number, int):
        raise GitHubError("GitHub answered without the id of a deployment")
    body = status_body("in_progress", log_url=run)
    api.post(f"/repos/{repository}/deployments/{number}/statuses", body)
    return number


def end_record(api: GitHubApi, begun: RecordBegun, result: Result, *, region: str) -> tuple[Finding, ...]:
    """Tell GitHub how it ended, and an organization where the artifact runs now; return what was recorded."""
    api = _hurried(api)
    problems = [begun.problem] if begun.problem else []
    told: list[str] = []
    if begun.number:
        path = f"/repos/{begun.repository}/deployments/{begun.number}/statuses"
        body = status_body(
            state_of(result.outcome),
            text=result.reason,
            log_url=provenance_from_environment().run,
            address=result.service_url,
        )
        if problem := _posted(api, path, body):
            problems.append(problem)
        else:
            told.append(f"deployment {begun.number} of {begun.environment}: {body['state']}")
    owner, _, name = begun.repository.partition("/")
    records = artifact_bodies(result, environment=begun.environment, repository=name, region=region)
    for body in records if owner else ():
        path = f"/orgs/{owner}/artifacts/metadata/deployment-record"
        problem = _posted(api, path, body, quiet=_NOT_THERE)
        if problem is None:
            told.append(f"artifact {body['digest'][:19]}… on {body['cluster']}")
        elif problem:
            problems.append(problem)
            break
    return _findings(told, problems)


def _posted(api: GitHubApi, path: str, body: Mapping[str, Any], *, quiet: int = 0) -> str | None:
    """Return None where GitHub took it, else why not: "" for the status that needs no word."""
    try:
        api.post(path, body)
    except GitHubError as error:
        return "" if quiet and error.status == quiet else _said(error)
    return None


def _findings(told: list[str], problems: list[str]) -> tuple[Finding, ...]:
    found = []
    if told:
        found.append(
            Finding(
                code="deployment-record",
                severity=Severity.INFO,
                message=f"Recorded on GitHub: {'; '.join(told)}.",
            )
        )
    if problems:
        found.append(
            Finding(
                code="deployment-not-recorded",
                severity=Severity.WARNING,
                message=f"Not everything was recorded on GitHub: {'; '.join(problems)}.",
                hint="The job needs deployments: write, and for the artifact's record of an organization "
                "artifact-metadata: write. The deployment itself does not depend on it.",
            )
        )
    return tuple(found)


def _hurried(api: GitHubApi) -> GitHubApi:
    return replace(api, timeout=_PATIENCE_SECONDS, longest_pause=_PATIENCE_SECONDS, attempts=_ATTEMPTS)


def _said(error: GitHubError) -> str:
    return f"{error} ({error.hint.rstrip('.')})" if error.hint else str(error)


def is_worth_waiting(result: Result) -> bool:
    """Say whether the result may wait for GitHub: a job that is cancelled has seconds left for it."""
    return result.outcome != Outcome.CANCELLED
