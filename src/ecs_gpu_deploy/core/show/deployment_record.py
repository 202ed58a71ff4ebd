"""What GitHub is told of a deployment: bodies of its REST API, from what is known here.

Source: GitHub's REST API description (github.com/github/rest-api-description): repos/create-deployment,
repos/create-deployment-status, orgs/create-artifact-deployment-record.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.text import plain
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.model import cluster_of, short_id
from ecs_gpu_deploy.result import Outcome, Result, ServiceEnd

_DESCRIPTION: Final = 140
_NAME: Final = 128
_STATES: Final[Mapping[Outcome, str]] = {
    Outcome.SUCCEEDED: "success",
    Outcome.STARTED: "in_progress",
    Outcome.FAILED: "failure",
    Outcome.ROLLED_BACK: "failure",
    Outcome.NO_CAPACITY: "failure",
    Outcome.SUPERSEDED: "inactive",
}
"""How a deployment ended → its state on GitHub; where nobody saw how it ends, that is an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What is about to be deployed: `task` is deploy or rollback, `commit` what it is made from."""

    task: str
    commit: str
    image: str
    digest: str
    task_definition: str
    cluster: str
    services: Sequence[str]
    run: str = ""


def checked_environment(name: str) -> str:
    """Return the environment of deployment-record; InvalidInput for what names none."""
    if name.lower() in {"true", "false"} or len(name) > _NAME:
        raise InvalidInput(
            f"deployment-record is {plain(name, limit=40)!r}, which names no environment.",
            hint="Write the environment under which GitHub keeps it: deployment-record: production.",
        )
    return name


def deployment_body(deployed: Deployed, environment: str) -> dict[str, Any]:
    """Return what creates the deployment: of the commit as it is, whatever its checks say."""
    what = f"{', '.join(map(short_id, deployed.services))} on {short_id(deployed.cluster)}"
    return {
        "ref": deployed.commit,
        "task": deployed.task,
        "auto_merge": False,
        "required_contexts": [],
        "environment": environment,
        "description": plain(what, limit=_DESCRIPTION),
        "payload": {
            "cluster": deployed.cluster,
            "services": list(deployed.services),
            "image": deployed.image,
            "digest": deployed.digest,
            "task_definition": deployed.task_definition,
            "run": deployed.run,
        },
    }


def status_body(state: str, *, text: str = "", log_url: str = "", address: str = "") -> dict[str, Any]:
    """Return a status of the deployment: its log is the run, its address where the service answers."""
    links = {"log_url": log_url, "environment_url": address}
    told = {name: url for name, url in links.items() if re.match(r"https?://", url)}
    return {"state": state, "description": plain(text, limit=_DESCRIPTION), **told}


def state_of(outcome: Outcome) -> str:
    """Return the state on GitHub of a deployment that ended so."""
    return _STATES.get(outcome, "error")


def artifact_bodies(
    result: Result, *, environment: str, repository: str, region: str
) -> tuple[dict[str, Any], ...]:
    """Return the records of where the artifact runs now, one a service whose deployment succeeded.

    *repository* is GitHub's, without its owner. None where the digest is not known: it is what is recorded.
    """
    try:
        image = ImageReference.from_text(result.image)
    except InvalidInput:
        return ()
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", result.image_digest):
        return ()
    ends = result.services or (
        ServiceEnd(service=result.service, outcome=result.outcome, reason=result.reason),
    )
    return tuple(
        {
            "name": image.name,
            "digest": result.image_digest,
            **({"version": image.tag} if image.tag else {}),
            "status": "deployed",
            "logical_environment": environment[:_NAME],
            **({"physical_environment": region[:_NAME]} if region else {}),
            "cluster": short_id(cluster_of(end.service) or result.cluster or "default")[:_NAME],
            "deployment_name": short_id(end.service),
            "github_repository": repository,
            "tags": {"verdict": end.outcome.value, "task-definition": short_id(result.task_definition_arn)},
        }
        for end in ends
        if end.outcome == Outcome.SUCCEEDED
    )
