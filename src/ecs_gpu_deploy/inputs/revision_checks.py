"""The revision that is asked for: its source is read, what can never be is refused by the input's name."""

from __future__ import annotations

import re
from pathlib import PurePath

from ecs_gpu_deploy.core.definition.overrides import Overrides, check_overrides, rendered
from ecs_gpu_deploy.core.definition.references import log_option_problem, role_problem, secret_problem
from ecs_gpu_deploy.core.definition.sizes import cpu_units, memory_mib
from ecs_gpu_deploy.core.definition.task_definition import read_task_definition
from ecs_gpu_deploy.edges.machine.files import read_text
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.requests import DefinitionSource, RevisionWish
from ecs_gpu_deploy.inputs.values import Values

_DEFINITION_FILES = frozenset({".json", ".yml", ".yaml", ".txt", ".tpl", ".j2"})
_PROGRAMS = frozenset({".js", ".mjs", ".cjs", ".ts"})
_ENV_FILE = re.compile(r"arn:aws[a-z-]*:s3:::[^/\s]+/\S*\.env")
_MOST_ENV_FILES = 10
_NAMES_HINT = "Correct the input. What something else replaces later goes with allow-placeholders: true."


def checked_revision(values: Values) -> RevisionWish:
    """Return the revision that is wanted, its file read; InvalidInput for what can never be."""
    overrides, source = _overrides(values), checked_source(values.task_definition)
    if source.document is not None:
        rendered(source.document, overrides)
    return RevisionWish(
        source=source,
        overrides=overrides,
        allow_placeholders=values.allow_placeholders,
        # A tag may be moved after its image was verified.
        pin="digest" if values.require_attestation else values.pin,
    )


def check_what_to_render(values: Values) -> None:
    """Raise InvalidInput where nothing says where the revision starts from."""
    if not values.task_definition and not values.service:
        raise InvalidInput(
            "Neither task-definition nor service says where the revision starts from.",
            hint="Give task-definition (a file, a family, family:revision or an ARN), or service for what it "
            "runs.",
        )


def check_sizes(values: Values) -> None:
    """Raise InvalidInput for a size of the task that is none."""
    for option, size, read, wanted in (
        ("task-cpu", values.task_cpu, cpu_units, "CPU units (4096) or vCPU (4 vCPU)"),
        ("task-memory", values.task_memory, memory_mib, "MiB (16384) or GB (16 GB)"),
    ):
        if size and not read(size):
            raise InvalidInput(f"{option} is {size[:60]!r}.", hint=f"{wanted} are meant.")


def _overrides(values: Values) -> Overrides:
    check_sizes(values)
    gpu, sharing = values.gpu, values.gpu_sharing
    if gpu is not None and sharing is not None:
        raise InvalidInput("gpu and gpu-sharing exclude each other.", hint="Leave one of them out.")
    overrides = Overrides(
        container=values.container,
        images=values.image,
        environment=values.environment,
        secrets=values.secrets,
        command=values.command_override,
        entry_point=values.entry_point,
        container_cpu=values.cpu,
        container_memory=values.memory,
        container_memory_reservation=values.memory_reservation,
        gpu=gpu if sharing is None else sharing,
        health_check=values.health_check,
        log_options=values.log_options,
        log_driver=values.log_driver or "",
        env_files=values.env_files,
        docker_labels=values.docker_labels,
        cpu=values.task_cpu or None,
        memory=values.task_memory or None,
        task_role_arn=values.task_role_arn or None,
        execution_role_arn=values.execution_role_arn or None,
        tags=values.tags,
        assignments=values.set,
    )
    check_names(values)
    _check_env_files(values.env_files)
    check_overrides(overrides)
    return overrides


def _check_env_files(arns: tuple[str, ...]) -> None:
    """Raise InvalidInput for what ECS reads no variables from (Developer Guide, "Pass environment files")."""
    for arn in arns:
        if not _ENV_FILE.fullmatch(arn):
            raise InvalidInput(
                f"env-files has {arn[:100]!r}, which is no ARN of a file of environment variables.",
                hint="Write arn:aws:s3:::BUCKET/NAME.env, one a line.",
            )
    if len(arns) > _MOST_ENV_FILES:
        raise InvalidInput(f"env-files has {len(arns)} files, and a container takes {_MOST_ENV_FILES}.")


def check_names(values: Values) -> None:
    """Raise InvalidInput, with the input's name, for a name that AWS can never take."""
    allowed = values.allow_placeholders
    roles = {"task-role-arn": values.task_role_arn, "execution-role-arn": values.execution_role_arn}
    problems = [
        *((option, role_problem(role, allow_placeholders=allowed)) for option, role in roles.items() if role),
        *(
            (f"secrets: {name[:60]}", secret_problem(source, allow_placeholders=allowed))
            for name, source in values.secrets.items()
            if source
        ),
        *(
            (f"log-options: {name[:60]}", log_option_problem(name, value))
            for name, value in values.log_options.items()
            if value and not allowed
        ),
    ]
    for where, problem in problems:
        if problem:
            raise InvalidInput(f"{where} {problem}", hint=_NAMES_HINT)


def is_definition_file(source: str) -> bool:
    """Say whether task-definition names a file, and not a family, revision or ARN."""
    if source.startswith("arn:"):
        return False
    suffix = PurePath(source).suffix.lower()
    return suffix in _DEFINITION_FILES | _PROGRAMS or "/" in source or "\\" in source


def checked_source(source: str) -> DefinitionSource:
    """Return where the revision starts from; a file is read, and no program is run for it."""
    if not is_definition_file(source):
        return DefinitionSource(name=source)
    if PurePath(source).suffix.lower() in _PROGRAMS:
        raise InvalidInput(
            f"The task definition {source!r} is a program, and programs are not run for it.",
            hint="Give a JSON or YAML file.",
        )
    text = read_text(source, what="task definition")
    if not text.strip():
        raise InvalidInput(f"The task definition {source!r} is empty.", hint="JSON or YAML is meant.")
    return DefinitionSource(document=read_task_definition(text, name=source))
