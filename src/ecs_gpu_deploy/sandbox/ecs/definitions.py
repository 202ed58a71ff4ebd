"""The operations on task definitions."""

from __future__ import annotations

from collections.abc import Sequence

from ecs_gpu_deploy.sandbox.ecs.pages import page_of
from ecs_gpu_deploy.sandbox.ecs.region import EcsRegion, Request, Response, at_most
from ecs_gpu_deploy.sandbox.ecs.task_definitions import Revision
from ecs_gpu_deploy.sandbox.protocol.api_errors import client_exception


def register_task_definition(region: EcsRegion, request: Request) -> Response:
    """Register a revision."""
    revision = region.task_definitions.register(request, at=region.now, by=region.caller)
    return {"taskDefinition": revision.description, "tags": revision.tags}


def describe_task_definition(region: EcsRegion, request: Request) -> Response:
    """Describe a revision, or the newest ACTIVE one of a family; tags only where asked for."""
    revision = region.task_definitions.find(request["taskDefinition"])
    if revision is None:
        raise client_exception("Unable to describe task definition.")
    response: Response = {"taskDefinition": revision.description}
    if "TAGS" in (request.get("include") or ()):
        response["tags"] = revision.tags
    return response


def deregister_task_definition(region: EcsRegion, request: Request) -> Response:
    """Make a revision INACTIVE."""
    revision = region.task_definitions.deregister(request["taskDefinition"], at=region.now)
    return {"taskDefinition": revision.description}


def delete_task_definitions(region: EcsRegion, request: Request) -> Response:
    """Begin to delete up to 10 INACTIVE revisions."""
    deleted, failures = [], []
    for name in at_most(request, "taskDefinitions", 10, "TaskDefinitions"):
        revision = region.task_definitions.delete(name, at=region.now)
        if revision is None:
            failures.append(
                {"arn": name, "reason": "The specified task definition is still in ACTIVE status."}
            )
        else:
            deleted.append(revision.description)
    return {"taskDefinitions": deleted, "failures": failures}


def list_task_definitions(region: EcsRegion, request: Request) -> Response:
    """List the ARNs of revisions by status (ACTIVE where it is not given), of a family, up or down."""
    status = request.get("status") or "ACTIVE"
    family = request.get("familyPrefix")
    arns = [
        revision.arn
        for revision in region.task_definitions.revisions()
        if revision.status == status and (not family or revision.description["family"] == family)
    ]
    if request.get("sort") == "DESC":
        arns.reverse()
    page, token = page_of(arns, request)
    return {"taskDefinitionArns": list(page), **token}


def list_task_definition_families(region: EcsRegion, request: Request) -> Response:
    """List families whose names begin with a prefix; ACTIVE ones have an ACTIVE revision."""

    def wanted(revisions: Sequence[Revision]) -> bool:
        active = any(revision.status == "ACTIVE" for revision in revisions)
        match request.get("status") or "ALL":
            case "ACTIVE":
                return active
            case "INACTIVE":
                return not active
            case _:
                return True

    prefix = request.get("familyPrefix") or ""
    names = [
        name
        for name, revisions in region.task_definitions.families()
        if name.startswith(prefix) and wanted(revisions)
    ]
    page, token = page_of(names, request)
    return {"families": list(page), **token}
