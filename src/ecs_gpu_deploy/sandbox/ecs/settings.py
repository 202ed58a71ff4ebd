"""The operations on tags and account settings."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ecs_gpu_deploy.sandbox.ecs.pages import page_of
from ecs_gpu_deploy.sandbox.ecs.region import EcsRegion, Request, Response
from ecs_gpu_deploy.sandbox.ecs.task_definitions import Revision
from ecs_gpu_deploy.sandbox.protocol.api_errors import ApiError, invalid_parameter

DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "serviceLongArnFormat": "enabled",
        "taskLongArnFormat": "enabled",
        "containerInstanceLongArnFormat": "enabled",
        "awsvpcTrunking": "disabled",
        "containerInsights": "disabled",
        "fargateFIPSMode": "disabled",
        "tagResourceAuthorization": "on",
        "fargateTaskRetirementWaitPeriod": "7",
        "guardDutyActivate": "off",
        "defaultLogDriverMode": "non-blocking",
    }
)


def tag_resource(region: EcsRegion, request: Request) -> Response:
    """Add tags to a resource."""
    arn = request["resourceArn"]
    revision = _tagged(region, arn)
    region.set_tags(arn, request["tags"])
    if revision is not None:
        revision.tags = region.tags[arn]
    return {}


def untag_resource(region: EcsRegion, request: Request) -> Response:
    """Remove tags from a resource."""
    arn = request["resourceArn"]
    revision = _tagged(region, arn)
    kept = [tag for tag in region.tags.get(arn, ()) if tag["key"] not in request["tagKeys"]]
    region.tags[arn] = kept
    if revision is not None:
        revision.tags = kept
    return {}


def list_tags_for_resource(region: EcsRegion, request: Request) -> Response:
    """List a resource's tags."""
    arn = request["resourceArn"]
    _tagged(region, arn)
    return {"tags": list(region.tags.get(arn, ()))}


def _tagged(region: EcsRegion, arn: str) -> Revision | None:
    """Check that a resource exists; a task definition's revision is returned, for its tags are its own."""
    prefix = region.arn("")
    if not arn.startswith(prefix):
        raise invalid_parameter("Invalid ARN.")
    kind, _, rest = arn.removeprefix(prefix).partition("/")
    cluster = region.clusters.get(rest.partition("/")[0])
    exists: bool
    match kind:
        case "task-definition":
            revision = region.task_definitions.find(arn)
            if revision is not None and arn == revision.arn:
                region.tags[arn] = revision.tags
                return revision
            exists = False
        case "cluster":
            exists = cluster is not None
        case "service":
            exists = cluster is not None and region.find_service(cluster, arn) is not None
        case "task":
            exists = cluster is not None and arn in cluster.scheduler.tasks
        case "container-instance":
            exists = cluster is not None and arn in cluster.scheduler.instances
        case "capacity-provider":
            exists = rest in region.capacity_providers
        case _:
            exists = False
    if not exists:
        noun = kind.replace("-", " ")
        raise ApiError(
            "ResourceNotFoundException" if kind == "task-definition" else "InvalidParameterException",
            f"The specified {noun} was not found. Specify a valid {noun} and try again.",
        )
    return None


def list_account_settings(region: EcsRegion, request: Request) -> Response:
    """List account settings: those that were set, or with effectiveSettings the defaults as well."""
    values = {**(DEFAULTS if request.get("effectiveSettings") else {}), **region.account_settings}
    settings = [
        _setting(region, name, value)
        for name, value in sorted(values.items())
        if (not request.get("name") or request["name"] == name)
        and (not request.get("value") or request["value"] == value)
    ]
    page, token = page_of(settings, request, default=10, limit=100)
    return {"settings": list(page), **token}


def put_account_setting(region: EcsRegion, request: Request) -> Response:
    """Set an account setting, for the user or as the account's default."""
    name, value = request["name"], request["value"]
    region.account_settings[name] = value
    return {"setting": _setting(region, name, value)}


def delete_account_setting(region: EcsRegion, request: Request) -> Response:
    """Return an account setting to its default."""
    name = request["name"]
    region.account_settings.pop(name, None)
    return {"setting": _setting(region, name, DEFAULTS.get(name, "disabled"))}


def _setting(region: EcsRegion, name: str, value: str) -> dict[str, str]:
    root = f"arn:{region.partition}:iam::{region.account_id}:root"
    return {"name": name, "value": value, "principalArn": root, "type": "user"}
