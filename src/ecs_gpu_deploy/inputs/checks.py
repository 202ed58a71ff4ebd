"""From settings to the request of a command: what can be known to be wrong without AWS is refused here.

Every `check_…` raises InvalidInput with the name of the input. What is read (a file, an environment
variable) is read once and travels in the request: a pipe such as /dev/stdin gives its content only once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from ecs_gpu_deploy.core.definition.appspec import read_appspec
from ecs_gpu_deploy.core.definition.overrides import Overrides, check_tag_names, rendered
from ecs_gpu_deploy.core.definition.references import role_problem
from ecs_gpu_deploy.core.definition.service_settings import ServiceSettings
from ecs_gpu_deploy.core.definition.sizes import cpu_units, memory_mib
from ecs_gpu_deploy.core.definition.task_request import TaskOverrides, TaskVolume, volume_problem
from ecs_gpu_deploy.core.identity.attestation import ExpectedSigner
from ecs_gpu_deploy.core.identity.credentials_end import credentials_end
from ecs_gpu_deploy.core.identity.role_wish import RoleWish
from ecs_gpu_deploy.core.image.registry import RegistryWish
from ecs_gpu_deploy.core.judge.batch_request import MOST
from ecs_gpu_deploy.core.judge.options import RolloutOptions, WaitOptions
from ecs_gpu_deploy.core.past.revisions import target_from
from ecs_gpu_deploy.core.show.deployment_record import checked_environment
from ecs_gpu_deploy.edges.machine.files import (
    check_file_name,
    read_text,
)
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.build_checks import checked_build
from ecs_gpu_deploy.inputs.deployment_checks import deployment_settings
from ecs_gpu_deploy.inputs.places import (
    checked_cluster,
    checked_services,
    distinct_services,
    named_cluster,
    one_service,
    service_if_any,
)
from ecs_gpu_deploy.inputs.requests import (
    AnswerRequest,
    BatchOptions,
    CodeDeployWish,
    DeployRequest,
    Foresight,
    HistoryRequest,
    LoginRequest,
    OwnRules,
    PlanRequest,
    Preflight,
    PushRequest,
    RegisterRequest,
    RenderRequest,
    RevisionWish,
    RollbackRequest,
    RunOptions,
    RunTaskRequest,
    StatusRequest,
    WatchRequest,
)
from ecs_gpu_deploy.inputs.revision_checks import (
    check_names,
    check_sizes,
    check_what_to_render,
    checked_revision,
    checked_source,
    is_definition_file,
)
from ecs_gpu_deploy.inputs.settings import Settings, required
from ecs_gpu_deploy.inputs.values import Values

_ALL_DEPLOYMENTS = 1000
_SERVICE_DEPLOYMENT = re.compile(r"arn:[a-z-]+:ecs:[a-z0-9-]+:\d{12}:service-deployment/[^/]+/[^/]+/[^/]+")
_WITHOUT_CLUSTER = frozenset({"push", "login"})
_CODEDEPLOY = re.compile(r"d-[A-Z0-9]{4,20}")
_STARTED_BY = re.compile(r"[A-Za-z0-9/_-]{1,128}")


def check_deploy(settings: Settings) -> DeployRequest:
    """Return what deploy is asked to do."""
    values = settings.values
    required(
        values.service,
        "service",
        otherwise=" The command register makes a revision and no more." if values.task_definition else "",
    )
    services = checked_services(values)
    _check_end_of_wait(values, services)
    return DeployRequest(
        cluster=checked_cluster(values),
        services=services,
        revision=checked_revision(values),
        build=checked_build(values) if values.context or values.repository else None,
        platform=values.platforms.split(",")[0].strip(),
        ongoing=values.ongoing,
        force_new_deployment=values.force_new_deployment,
        parallel=values.parallel,
        commit=values.commit,
        keep_revisions=values.keep_revisions,
        desired_count=values.desired_count,
        before_task=values.before_task,
        waits=values.wait,
        signer=ExpectedSigner.from_lines(values.require_attestation),
        record_in=checked_environment(values.deployment_record),
        rollout=_rollout(settings),
        codedeploy=_codedeploy(values),
        settings=deployment_settings(values),
        service_settings=ServiceSettings(
            propagate_tags=values.propagate_tags or "",
            managed_tags=values.enable_ecs_managed_tags,
            strategy=values.capacity_providers,
            volume=_volume(values.volume, of_service=True) if values.volume else None,
        ),
        preflight=_preflight(values),
    )


def _check_end_of_wait(values: Values, services: tuple[str, ...]) -> None:
    """Raise InvalidInput for what comes after an end that nobody sees."""
    _check_wait_until(values)
    if values.wait and values.wait_until is None:
        return
    what = f"wait-until is {values.wait_until}" if values.wait_until else "wait is false"
    after = {
        "push-latest": values.push_latest,
        "extra-tags": bool(values.extra_tags),
        "keep-revisions": values.keep_revisions is not None,
        "on-timeout": values.on_timeout != "leave" and not values.wait,
        "on-failure": values.on_failure != "leave" and not values.wait,
    }
    if given := [name for name, is_given in after.items() if is_given]:
        raise InvalidInput(
            f"{what}, so nobody sees how the deployment ends, and {given[0]} is about that.",
            hint=f"Leave {given[0]} out, or wait to the end.",
        )
    if len(services) > 1:
        raise InvalidInput(
            f"{what}, and of several services each begins once the one before has ended well.",
            hint="Deploy them one by one, or wait to the end.",
        )


def _check_wait_until(values: Values) -> None:
    """Raise InvalidInput for a stage to wait for where nobody waits for a deployment."""
    if values.wait_until is not None and not values.wait:
        raise InvalidInput(
            f"wait is false, and wait-until ({values.wait_until}) says how long to wait.",
            hint="Leave one of them out.",
        )
    if values.wait_until is not None and (values.task or values.started_by):
        raise InvalidInput(
            "wait-until is a stage of a deployment, and tasks have none.", hint="Leave it out."
        )


def check_render(settings: Settings) -> RenderRequest:
    """Return what render is asked to do."""
    values = settings.values
    service = service_if_any(values, command=settings.command)
    check_what_to_render(values)
    if values.rendered_file:
        check_file_name(values.rendered_file, what="rendered-file")
    return RenderRequest(
        cluster=checked_cluster(values),
        service=service,
        revision=checked_revision(values),
        file=values.rendered_file,
        asks_aws=_asks_aws(settings),
    )


def check_register(settings: Settings) -> RegisterRequest:
    """Return what register is asked to do."""
    values = settings.values
    service = service_if_any(values, command=settings.command)
    check_what_to_render(values)
    return RegisterRequest(
        cluster=checked_cluster(values),
        service=service,
        revision=checked_revision(values),
        commit=values.commit,
    )


def check_rollback(settings: Settings) -> RollbackRequest:
    """Return what rollback is asked to do."""
    values = settings.values
    return RollbackRequest(
        service=one_service(values, command=settings.command),
        cluster=checked_cluster(values),
        target=target_from(values.to),
        reason=values.reason,
        ongoing=values.ongoing,
        force=values.force,
        keep_revisions=values.keep_revisions,
        signer=ExpectedSigner.from_lines(values.require_attestation),
        record_in=checked_environment(values.deployment_record),
        rollout=_rollout(settings),
        codedeploy=_codedeploy(values),
        preflight=_preflight(values),
    )


def check_run_task(settings: Settings) -> RunTaskRequest:
    """Return what run-task is asked to do."""
    values = settings.values
    _check_what_to_run(values)
    if values.count > MOST:
        raise InvalidInput(f"count is {values.count}, and a batch has at most {MOST} tasks.")
    if values.capacity_providers and values.launch_type:
        raise InvalidInput("launch-type and capacity-providers exclude each other.", hint="Leave one out.")
    if values.security_groups and not values.subnets and not values.service:
        raise InvalidInput("security-groups without subnets.", hint="Give subnets as well, or service.")
    overrides = _task_overrides(values)
    check_tag_names(values.tags)
    tags = _assigned(values.tags, "tags")
    volume = _volume(values.volume, of_service=False) if values.volume else None
    if values.started_by and not _STARTED_BY.fullmatch(values.started_by):
        raise InvalidInput(
            f"started-by is {values.started_by[:60]!r}.",
            hint="At most 128 letters, digits, hyphens, slashes and underscores are meant.",
        )
    return RunTaskRequest(
        cluster=checked_cluster(values),
        service=service_if_any(values, command=settings.command),
        task_definition=values.task_definition,
        revision=_revision_of_batch(values),
        count=values.count,
        waits=values.wait,
        overrides=overrides,
        subnets=values.subnets,
        security_groups=values.security_groups,
        assign_public_ip=values.assign_public_ip,
        launch_type=(values.launch_type or "").upper(),
        strategy=values.capacity_providers,
        tags=tags,
        volume=volume,
        propagate_tags=values.propagate_tags or "",
        managed_tags=values.enable_ecs_managed_tags,
        started_by=values.started_by,
        client_token=values.client_token,
        batch=BatchOptions(
            wait=_wait(settings),
            on_timeout="stop" if values.on_timeout == "stop" else "leave",
            on_cancel="stop" if values.on_cancel == "stop" else "leave",
        ),
    )


def check_push(settings: Settings) -> PushRequest:
    """Return what push is asked to do."""
    required(settings.values.repository, "repository")
    return PushRequest(build=checked_build(settings.values))


def check_watch(settings: Settings) -> WatchRequest:
    """Return what watch is asked to do."""
    values = settings.values
    _check_wait_until(values)
    arn = values.service_deployment
    service = service_if_any(values, command=settings.command)
    if not values.task and not values.started_by:
        required(service, "service")
        if arn and not _SERVICE_DEPLOYMENT.fullmatch(arn) and not _CODEDEPLOY.fullmatch(arn):
            raise InvalidInput(
                f"service-deployment is {arn[:100]!r}, which is no ARN of one.",
                hint="It is …:service-deployment/CLUSTER/SERVICE/ID, or the id of CodeDeploy's, d-….",
            )
    return WatchRequest(
        cluster=checked_cluster(values),
        service=service,
        service_deployment=arn,
        tasks=values.task,
        started_by=values.started_by,
        rollout=_rollout(settings),
        # on-timeout and on-cancel of watch are about a deployment: tasks that it did not start are left.
        batch=BatchOptions(wait=_wait(settings), on_timeout="leave", on_cancel="leave"),
        codedeploy=_codedeploy(values),
    )


def check_answer(settings: Settings) -> AnswerRequest:
    """Return what continue and reject are asked to do."""
    values = settings.values
    _check_wait_until(values)
    arn = values.service_deployment
    if arn and not _SERVICE_DEPLOYMENT.fullmatch(arn):
        why = ", and only a deployment of ECS itself has pause hooks" if _CODEDEPLOY.fullmatch(arn) else ""
        raise InvalidInput(
            f"service-deployment is {arn[:100]!r}, which is no ARN of one{why}.",
            hint="It is …:service-deployment/CLUSTER/SERVICE/ID.",
        )
    return AnswerRequest(
        service=one_service(values, command=settings.command),
        cluster=checked_cluster(values),
        service_deployment=arn,
        hook=values.hook,
        reason=values.reason,
        waits=values.wait,
        rollout=_rollout(settings),
    )


def _codedeploy(values: Values) -> CodeDeployWish:
    """Return how CodeDeploy is to deploy; the AppSpec is read, and its one ECS target seen to be there."""
    path = values.codedeploy_appspec
    text = read_text(path, what="AppSpec of codedeploy-appspec") if path else ""
    return CodeDeployWish(
        application=values.codedeploy_application,
        group=values.codedeploy_deployment_group,
        config=values.codedeploy_deployment_config,
        description=values.codedeploy_deployment_description,
        appspec=read_appspec(text, name=path) if path else None,
    )


def check_history(settings: Settings) -> HistoryRequest:
    """Return what history is asked to show."""
    values = settings.values
    return HistoryRequest(
        service=one_service(values, command=settings.command),
        cluster=checked_cluster(values),
        limit=_ALL_DEPLOYMENTS if values.all else values.limit,
        predicted=values.predicted,
        codedeploy=_codedeploy(values),
    )


def check_login(settings: Settings) -> LoginRequest:
    """Return what login is asked to do."""
    return LoginRequest(registries=tuple(map(RegistryWish.from_text, settings.values.registry)))


def check_plan(settings: Settings) -> PlanRequest:
    """Return what plan is asked to foresee."""
    values = settings.values
    return PlanRequest(
        service=one_service(values, command=settings.command),
        cluster=checked_cluster(values),
        revision=checked_revision(values),
        target=target_from(values.to) if "to" in settings.given else None,
        desired_count=values.desired_count,
        wait=_wait(settings),
        fail_on=values.fail_on,
        foresight=_foresight(values),
    )


def _preflight(values: Values) -> Preflight:
    """Return whether to look ahead; what only that needs is not even read where it is off."""
    mode = values.preflight
    return Preflight() if mode == "off" else Preflight(mode=mode, foresight=_foresight(values))


def _foresight(values: Values) -> Foresight:
    return Foresight(
        rules=_own_rules(values.rules),
        gpu_hourly_cost=values.gpu_hourly_cost,
        reads_secrets=values.check_secret_keys,
        session_ends=credentials_end(os.environ, role=values.role_to_assume, profile=values.aws_profile),
        calibrate=values.calibrate,
    )


def _own_rules(path: str) -> OwnRules | None:
    """Return the file of rules, read and right; InvalidInput, with file and line, for one that is not."""
    if not path:
        return None
    from ecs_gpu_deploy.core.rules.rule import rules_with  # noqa: PLC0415  (most starts need no rules)

    text = read_text(path, what="rules file")
    rules_with(text, name=path)
    return OwnRules(text=text, name=path)


def check_status(settings: Settings) -> StatusRequest:
    """Return what status is asked to show."""
    values = settings.values
    return StatusRequest(
        service=one_service(values, command=settings.command),
        cluster=checked_cluster(values),
    )


def run_options(settings: Settings, *, result_file: str = "", prints_json: bool = False) -> RunOptions:
    """Return what every command has in common; nothing is refused.

    *result_file* and *prints_json* are what is known of them before the settings are read.
    """
    values = settings.values
    return RunOptions(
        command=settings.command,
        cluster=values.cluster if settings.command in _WITHOUT_CLUSTER else named_cluster(values),
        # Of several, what goes wrong tells which one it is about.
        service=values.service if len(distinct_services(values)) < 2 else "",
        region=values.region,
        profile=values.aws_profile,
        result_file=values.result_file or result_file,
        debug=values.debug,
        gpu_hourly_cost=values.gpu_hourly_cost,
        timeout=values.timeout,
        asks_aws=_asks_aws(settings),
        prints_json=values.output == "json" or prints_json,
        github_token=values.github_token,
        comments=values.comment,
        commit=values.commit,
    )


def check_role(settings: Settings) -> RoleWish:
    """Return whose credentials are wanted, checked as far as that goes without STS."""
    values = settings.values
    wish = RoleWish(
        role_arn=values.role_to_assume,
        chain=values.role_chain,
        session_name=values.role_session_name,
        duration=int(values.role_duration),
        external_id=values.role_external_id,
        session_policy=values.role_session_policy,
        audience=values.audience,
        allowed_accounts=values.allowed_account_ids,
    )
    wish.check(values.region)
    return wish


def _wait(settings: Settings) -> WaitOptions:
    values = settings.values
    return WaitOptions(
        timeout=values.timeout,
        timeout_given="timeout" in settings.given,
        poll_interval=values.poll_interval,
        poll_interval_given="poll-interval" in settings.given,
        placement_timeout=values.placement_timeout,
        placement_timeout_given="placement-timeout" in settings.given,
    )


def _rollout(settings: Settings) -> RolloutOptions:
    values = settings.values
    return RolloutOptions(
        wait=_wait(settings),
        on_timeout="rollback" if values.on_timeout == "rollback" else "leave",
        on_failure=values.on_failure,
        on_cancel="rollback" if values.on_cancel == "rollback" else "leave",
        phase_deadlines=values.phase_deadlines,
        crash_loop_threshold=values.crash_loop_threshold,
        settle=values.settle,
        allow_desired_zero=values.allow_desired_zero or values.desired_count == 0,
        until=values.wait_until,
    )


def _asks_aws(settings: Settings) -> bool:
    """Say whether the command needs AWS: to render a file, its tags kept, needs nothing of it."""
    values = settings.values
    is_alone = is_definition_file(values.task_definition) and not values.service and values.pin == "tag"
    return not (settings.command == "render" and is_alone)


# A batch


def _check_what_to_run(values: Values) -> None:
    if not values.task_definition and not values.service:
        raise InvalidInput(
            "Neither task-definition nor service says what to run.",
            hint="Give task-definition (a family means its newest revision), or service.",
        )


def _revision_of_batch(values: Values) -> RevisionWish | None:
    """Return the revision that is registered for the batch, for RunTask takes neither file nor image."""
    if not values.image and not is_definition_file(values.task_definition):
        return None
    overrides = Overrides(container=values.container, images=values.image)
    source = checked_source(values.task_definition)
    if source.document is not None:
        rendered(source.document, overrides)
    return RevisionWish(
        source=source, overrides=overrides, allow_placeholders=values.allow_placeholders, pin=values.pin
    )


def _task_overrides(values: Values) -> TaskOverrides:
    check_sizes(values)
    check_names(values)
    return TaskOverrides(
        container=values.container,
        command=values.command_override,
        environment=_assigned(values.environment, "environment"),
        container_cpu=values.cpu,
        container_memory=values.memory,
        container_memory_reservation=values.memory_reservation,
        gpu=values.gpu,
        cpu=str(cpu_units(values.task_cpu) or ""),
        memory=str(memory_mib(values.task_memory) or ""),
        task_role_arn=values.task_role_arn,
        execution_role_arn=values.execution_role_arn,
        containers=values.container_overrides,
    )


def _assigned(assignments: Mapping[str, str | None], option: str) -> dict[str, str]:
    """Return the assignments; RunTask can add and replace, but not remove."""
    values: dict[str, str] = {}
    for name, value in assignments.items():
        if value is None:
            raise InvalidInput(
                f"{option} has {name!r} without a value, and run-task cannot remove anything.",
                hint=f"Write {name}=VALUE, or register a revision without it.",
            )
        values[name] = value
    return values


def _volume(given: Mapping[str, object], *, of_service: bool) -> TaskVolume:
    name, role = given.get("name"), given.get("roleArn")
    if not isinstance(name, str) or not name or not isinstance(role, str) or not role:
        raise InvalidInput(
            "volume needs name and roleArn.",
            hint="name is the volume's in the task definition (configuredAtLaunch), roleArn the role with "
            "which ECS manages EBS volumes.",
        )
    settings = {key: value for key, value in given.items() if key not in {"name", "roleArn"}}
    if problem := role_problem(role):
        raise InvalidInput(f"The roleArn of volume {problem}", hint="Correct it.")
    if problem := volume_problem(settings, of_service=of_service):
        raise InvalidInput(f"volume {problem}", hint="Its members are those of ECS's API, written as there.")
    return TaskVolume(name=name, role_arn=role, settings=settings)
