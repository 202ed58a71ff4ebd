"""GetResources of the Resource Groups Tagging API, for task definitions: the one thing ECS users ask it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecs_gpu_deploy.sandbox.ecs.region import EcsRegion


def tagged_resources(region: EcsRegion, request: Mapping[str, Any]) -> dict[str, Any]:
    """List task definitions that have a tag of each filter; 100 a page (API Reference, "GetResources")."""
    filters = [
        (str(one.get("Key", "")), set(one.get("Values") or ())) for one in request.get("TagFilters") or ()
    ]

    def wanted(tags: Mapping[str, str]) -> bool:
        return all(key in tags and (not values or tags[key] in values) for key, values in filters)

    found = []
    for revision in region.task_definitions.revisions():
        tags = {tag["key"]: tag.get("value", "") for tag in revision.tags}
        if tags and wanted(tags):
            listed = [{"Key": key, "Value": value} for key, value in tags.items()]
            found.append({"ResourceARN": revision.arn, "Tags": listed})
    first = int(request.get("PaginationToken") or 0)
    most = int(request.get("ResourcesPerPage") or 100)
    page = found[first : first + most]
    token = str(first + most) if first + most < len(found) else ""
    return {"ResourceTagMappingList": page, "PaginationToken": token}
