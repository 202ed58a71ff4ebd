"""Where moto's services beside ECS differ from AWS in ways that Terraform's AWS provider notices.

Each correction is applied when its service is first opened; moto is imported only then.
"""

from __future__ import annotations

import copy
import json
import uuid
from functools import cache
from typing import Any

AWAKE = {
    "DynamicScalingInSuspended": False,
    "DynamicScalingOutSuspended": False,
    "ScheduledScalingSuspended": False,
}
"""SuspendedState of a scalable target that was registered without one (DescribeScalableTargets)."""

_PARTITIONS: set[str] = set()


def use(partition: str) -> None:
    """Let AWS's managed policies exist in the partition; moto opens IAM of all of them, behind our back."""
    _PARTITIONS.add(partition)


@cache
def correct(service: str) -> None:
    """Correct moto's backend of a service, named as it signs requests; once in a process."""
    _load_managed_policies()  # before any service, as others open IAM behind our back
    match service:
        case "iam":
            _keep_what_a_role_update_leaves_out()
        case "ec2":
            _keep_a_templates_own_tags_apart()
            _describe_rules_between_groups()
        case "application-autoscaling":
            _scale_our_services()
        case "autoscaling":
            _take_instance_refreshes()
        case "s3":
            _show_event_bridge()
        case "events":
            _let_disabled_rules_sleep()
        case "sqs":
            _write_redrive_policies_without_spaces()
        case "logs":
            _tell_a_missing_stream_from_a_missing_group()
        case _:
            pass


def _load_managed_policies() -> None:
    """Let AWS's managed policies exist: the role of container instances is given one.

    moto would read its 1,400 documents anew for each of eight partitions in each sandbox: two thirds of the
    time that a short test takes.
    """
    from moto.iam import models  # noqa: PLC0415

    module: Any = models

    def own_copies(backend: Any) -> list[Any]:
        used = backend.region_name in _PARTITIONS
        copies = [copy.copy(one) for one in _managed_policies(backend.region_name)] if used else []
        for one in copies:
            one.account_id = backend.account_id
        return copies

    module.IAMBackend._init_aws_policies = own_copies


@cache
def _managed_policies(partition: str) -> tuple[Any, ...]:
    """Read moto's collection of AWS's managed policies."""
    from moto.iam import models  # noqa: PLC0415

    module: Any = models
    documents = json.loads(module.aws_managed_policies_data)
    read = module.AWSManagedPolicy.from_data
    return tuple(read(name, "aws", partition, data) for name, data in documents.items())


def _keep_what_a_role_update_leaves_out() -> None:
    """Change only what UpdateRole names: description, longest session or both (UpdateRole, IAM API)."""
    from moto.iam import models  # noqa: PLC0415

    module: Any = models
    original = module.IAMBackend.update_role

    def update_role(
        backend: Any, role_name: str, role_description: str | None, max_session_duration: str | None
    ) -> Any:
        role = backend.get_role(role_name)
        description = role.description if role_description is None else role_description
        return original(backend, role_name, description, max_session_duration or role.max_session_duration)

    module.IAMBackend.update_role = update_role


def _keep_a_templates_own_tags_apart() -> None:
    """Leave a launch template's own tags out of the data of its versions (CreateLaunchTemplate, EC2 API)."""
    from moto.ec2.models import launch_templates  # noqa: PLC0415

    module: Any = launch_templates
    original = module.LaunchTemplate.create_version

    def create_version(template: Any, data: dict[str, Any], description: str) -> Any:
        of_instances = [
            one for one in data.get("TagSpecifications", ()) if one.get("ResourceType") != "launch-template"
        ]
        kept = {key: value for key, value in data.items() if key != "TagSpecifications"}
        return original(
            template, kept | ({"TagSpecifications": of_instances} if of_instances else {}), description
        )

    module.LaunchTemplate.create_version = create_version


def _describe_rules_between_groups() -> None:
    """Show the description of a rule that names another security group (DescribeSecurityGroupRules)."""
    from moto.ec2.models import security_groups  # noqa: PLC0415

    def description(rule: Any) -> str | None:
        text: str | None = rule.ip_range.get("Description") or (rule.source_group or {}).get("Description")
        return text

    module: Any = security_groups
    module.SecurityGroupRule.description = property(description)


def _scale_our_services() -> None:
    """Let a scalable target be an ECS service of ours, awake, with its tags: moto asks its own ECS for it."""
    from moto.applicationautoscaling import models, responses  # noqa: PLC0415

    module: Any = models
    module.ApplicationAutoscalingBackend._ecs_service_exists_for_target = lambda *_: True
    original = module.ApplicationAutoscalingBackend.register_scalable_target

    def register_scalable_target(*arguments: Any, **named: Any) -> Any:
        target = original(*arguments, **named)
        target.suspended_state = {**AWAKE, **(target.suspended_state or {})}
        return target

    module.ApplicationAutoscalingBackend.register_scalable_target = register_scalable_target
    answers: Any = responses.ApplicationAutoScalingResponse
    original_answer = answers.register_scalable_target
    tags_of: dict[str, dict[str, str]] = {}

    def register_with_tags(response: Any) -> str:
        text: str = original_answer(response)
        tags_of.setdefault(json.loads(text)["ScalableTargetARN"], {}).update(
            json.loads(response.body).get("Tags") or {}
        )
        return text

    def list_tags_for_resource(response: Any) -> str:
        return json.dumps({"Tags": tags_of.get(json.loads(response.body)["ResourceARN"], {})})

    answers.register_scalable_target = register_with_tags
    answers.list_tags_for_resource = list_tags_for_resource


def _show_event_bridge() -> None:
    """Say that a bucket notifies EventBridge where it does (GetBucketNotificationConfiguration)."""
    from moto.s3 import responses  # noqa: PLC0415

    module: Any = responses
    original = module.S3Response.get_bucket_notification

    def get_bucket_notification(response: Any) -> Any:
        status, headers, text = original(response)
        bucket = response.backend.head_bucket(response.bucket_name)
        configuration = bucket.notification_configuration
        if configuration is not None and configuration.event_bridge is not None:
            end = "<EventBridgeConfiguration/></NotificationConfiguration>"
            text = text.removesuffix("/>").removesuffix("</NotificationConfiguration>")
            text = f"{text}{'' if text.endswith('>') else '>'}{end}"
        return status, headers, text

    module.S3Response.get_bucket_notification = get_bucket_notification


def _let_disabled_rules_sleep() -> None:
    """Send nothing for a rule that is disabled (DisableRule, EventBridge API)."""
    from moto.events import models  # noqa: PLC0415

    module: Any = models
    original = module.Rule.send_to_targets

    def send_to_targets(rule: Any, *arguments: Any, **named: Any) -> None:
        if rule.state != "DISABLED":
            original(rule, *arguments, **named)

    module.Rule.send_to_targets = send_to_targets


def _write_redrive_policies_without_spaces() -> None:
    """Give a redrive policy back as Terraform sent it, which compares the text (GetQueueAttributes)."""
    from moto.sqs import models  # noqa: PLC0415

    module: Any = models
    original = module.Queue.attributes.fget

    def attributes(queue: Any) -> dict[str, Any]:
        shown: dict[str, Any] = original(queue)
        if queue.redrive_policy:
            shown["RedrivePolicy"] = json.dumps(queue.redrive_policy, separators=(",", ":"))
        return shown

    module.Queue.attributes = property(attributes)


def _tell_a_missing_stream_from_a_missing_group() -> None:
    """Say of a log stream that it is missing where its group is there (GetLogEvents)."""
    from moto.logs import exceptions, models  # noqa: PLC0415

    group: Any = models.LogGroup
    read = group.get_log_events

    def get_log_events(here: Any, log_stream_name: str, *arguments: Any, **named: Any) -> Any:
        if log_stream_name not in here.streams:
            raise exceptions.ResourceNotFoundException("The specified log stream does not exist.")
        return read(here, log_stream_name, *arguments, **named)

    group.get_log_events = get_log_events


def _take_instance_refreshes() -> None:
    """Note an instance refresh and call it done (StartInstanceRefresh): a world's hosts are of no group."""
    from moto.autoscaling import exceptions, responses  # noqa: PLC0415
    from moto.core.responses import ActionResult  # noqa: PLC0415

    answers: Any = responses.AutoScalingResponse
    errors: Any = exceptions

    def refreshes_of(response: Any) -> list[dict[str, Any]]:
        name = response._get_param("AutoScalingGroupName")
        group = response.autoscaling_backend.autoscaling_groups.get(name)
        if group is None:
            missing = f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found"
            raise errors.ValidationError(missing)
        refreshes: list[dict[str, Any]] = vars(group).setdefault("refreshes", [])
        return refreshes

    def start_instance_refresh(response: Any) -> Any:
        refreshes = refreshes_of(response)
        made = {
            "InstanceRefreshId": str(uuid.uuid4()),
            "AutoScalingGroupName": response._get_param("AutoScalingGroupName"),
            "Status": "Successful",
            "PercentageComplete": 100,
            "InstancesToUpdate": 0,
            "Preferences": response._get_param("Preferences") or {},
        }
        refreshes.insert(0, made)
        return ActionResult({"InstanceRefreshId": made["InstanceRefreshId"]})

    def describe_instance_refreshes(response: Any) -> Any:
        return ActionResult({"InstanceRefreshes": refreshes_of(response)})

    answers.start_instance_refresh = start_instance_refresh
    answers.describe_instance_refreshes = describe_instance_refreshes
