"""The values of all options, typed: one field an option, in the order of the table.

`settings_from` fills it. A test holds that each field has the type that its option's reader gives, so that a
misspelt name or a wrong type in `checks.py` is an error of mypy's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ecs_gpu_deploy.core.capacity.gpus import GpuRequest
from ecs_gpu_deploy.core.definition.container_overrides import ContainerOverride
from ecs_gpu_deploy.core.definition.task_request import CapacityShare
from ecs_gpu_deploy.core.judge.deployment_settings import Threshold
from ecs_gpu_deploy.core.judge.lifecycle import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What somebody gave, or the default, durations in seconds; `service` is the first of `services`.

    Where there is neither, a text, list or mapping is empty and a switch is off; a number, a GPU request, a
    choice and the words of a command are None.
    """

    cluster: str
    service: str
    services: tuple[str, ...]
    image: Mapping[str, str]
    container: str
    task_definition: str
    environment: Mapping[str, str | None]
    secrets: Mapping[str, str | None]
    entry_point: tuple[str, ...] | None
    command_override: tuple[str, ...] | None
    cpu: int | None
    memory: int | None
    memory_reservation: int | None
    task_cpu: str
    task_memory: str
    gpu: GpuRequest | None
    gpu_sharing: GpuRequest | None
    health_check: Mapping[str, object]
    log_options: Mapping[str, str | None]
    log_driver: (
        Literal["awslogs", "awsfirelens", "splunk", "fluentd", "gelf", "json-file", "journald", "syslog"]
        | None
    )
    env_files: tuple[str, ...]
    docker_labels: Mapping[str, str | None]
    tags: Mapping[str, str | None]
    task_role_arn: str
    execution_role_arn: str
    set: Mapping[str, object]
    allow_placeholders: bool
    pin: Literal["tag", "digest"]
    rendered_file: str
    require_attestation: tuple[str, ...]
    force_new_deployment: bool
    ongoing: Literal["refuse", "wait", "supersede"]
    desired_count: int | None
    allow_desired_zero: bool
    timeout: float
    poll_interval: float
    placement_timeout: float
    phase_deadlines: Mapping[str, float]
    crash_loop_threshold: int | None
    settle: float | None
    on_timeout: Literal["leave", "rollback", "stop"]
    on_failure: Literal["leave", "rollback", "rollback-all"]
    on_cancel: Literal["leave", "rollback", "stop"]
    parallel: bool
    strategy: Literal["ROLLING", "BLUE_GREEN", "LINEAR", "CANARY"] | None
    bake_time: float | None
    step_percent: float | None
    step_bake_time: float | None
    alarms: tuple[str, ...]
    alarm_action: Literal["disabled", "enabled", "rollback"] | None
    circuit_breaker: Literal["disabled", "enabled", "rollback"] | None
    breaker_threshold: Threshold | None
    early_success: Literal["disabled", "BLOCKING", "DEFERRED"] | None
    early_success_percent: int | None
    codedeploy_appspec: str
    codedeploy_application: str
    codedeploy_deployment_group: str
    codedeploy_deployment_config: str
    codedeploy_deployment_description: str
    commit: str
    keep_revisions: int | None
    to: str
    fail_on: Literal["error", "warning", "never"]
    calibrate: bool
    rules: str
    check_secret_keys: bool
    preflight: Literal["off", "warn", "error"]
    reason: str
    force: bool
    service_deployment: str
    hook: str
    task: tuple[str, ...]
    limit: int
    all: bool
    predicted: bool
    container_overrides: tuple[ContainerOverride, ...]
    before_task: tuple[ContainerOverride, ...]
    count: int
    wait: bool
    wait_until: Stage | None
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    assign_public_ip: bool
    launch_type: Literal["ec2", "fargate", "external"] | None
    capacity_providers: tuple[CapacityShare, ...]
    volume: Mapping[str, object]
    propagate_tags: Literal["SERVICE", "TASK_DEFINITION", "NONE"] | None
    enable_ecs_managed_tags: bool | None
    started_by: str
    client_token: str
    registry: tuple[str, ...]
    repository: str
    image_tag: str
    extra_tags: tuple[str, ...]
    push_latest: bool
    context: str
    dockerfile: str
    target: str
    platforms: str
    build_args: Mapping[str, str]
    build_secrets: Mapping[str, str | None]
    build_secret_files: Mapping[str, str]
    build_contexts: Mapping[str, str]
    image_labels: Mapping[str, str]
    annotations: Mapping[str, str]
    ssh: tuple[str, ...]
    build_options: tuple[str, ...]
    build_network: str
    cache: Literal["off", "registry", "gha"]
    cache_image: str
    provenance: Literal["false", "true", "mode=min", "mode=max"]
    sbom: bool
    rebuild: bool
    create_repository: bool
    restore_archived: bool
    fail_on_severity: Literal["off", "critical", "high", "medium"]
    scan_timeout: float
    gpu_hourly_cost: float | None
    aws_profile: str
    region: str
    role_to_assume: str
    role_session_name: str
    role_duration: float
    role_chain: tuple[str, ...]
    role_external_id: str
    role_session_policy: str
    audience: str
    allowed_account_ids: tuple[str, ...]
    deployment_record: str
    github_token: str
    comment: bool
    result_file: str
    output: Literal["text", "json"]
    debug: bool
