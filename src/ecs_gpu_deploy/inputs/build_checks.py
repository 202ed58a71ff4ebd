"""The image that is to be built, as far as that shows without AWS and Docker."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ecs_gpu_deploy.core.definition.secret_text import hidden
from ecs_gpu_deploy.core.image.build_flags import build_flags
from ecs_gpu_deploy.core.image.image_tags import checked_tag
from ecs_gpu_deploy.core.image.repository import Repository
from ecs_gpu_deploy.edges.machine.files import is_file, is_folder, is_no_regular_file
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.requests import BuildOptions
from ecs_gpu_deploy.inputs.values import Values

_ELSEWHERE: Final = re.compile(r"[a-z][a-z0-9+.-]*://|git@|target:")
"""A build context that is no folder here (Docker Docs, "docker buildx build", --build-context)."""


def checked_build(values: Values, environment: Mapping[str, str] = os.environ) -> BuildOptions:
    """Return what to build, as far as that shows without AWS and Docker."""
    if values.image:
        raise InvalidInput(
            "image is given, and so is something to build it from.",
            hint="Leave out image to build, or context and repository to deploy the image as it is.",
        )
    if values.image_tag:
        checked_tag(values.image_tag, option="image-tag")
    for tag in values.extra_tags:
        checked_tag(tag, option="extra-tags")
    if values.repository:
        Repository.of_input(values.repository, region="")
    folder = values.context or "."
    _check_dockerfile(folder, values.dockerfile)
    secret_files = values.build_secret_files
    for path in secret_files.values():
        _check_for_docker(path, "build-secret-files")
        if not is_file(path):
            raise InvalidInput(f"There is no file {path!r} for build-secret-files.", hint="Check its path.")
    return BuildOptions(
        repository=values.repository,
        image_tag=values.image_tag,
        extra_tags=values.extra_tags,
        push_latest=values.push_latest,
        folder=folder,
        dockerfile=values.dockerfile,
        target=values.target,
        platforms=_platforms(values.platforms),
        arguments=values.build_args,
        secrets=_secret_values(values.build_secrets, environment),
        secret_files=secret_files,
        contexts=_checked_contexts(values.build_contexts),
        labels=values.image_labels,
        annotations=values.annotations,
        ssh=_checked_ssh(values.ssh, environment),
        flags=build_flags(values.build_options),
        network=values.build_network,
        cache=values.cache,
        cache_image=values.cache_image,
        provenance=values.provenance,
        sbom=values.sbom,
        rebuild=values.rebuild,
        create_repository=values.create_repository,
        restore_archived=values.restore_archived,
        fail_on_severity=values.fail_on_severity,
        scan_timeout=values.scan_timeout,
    )


def _platforms(text: str) -> tuple[str, ...]:
    platforms = tuple(part.strip() for part in text.split(",") if part.strip())
    if not platforms:
        raise InvalidInput("platforms names no platform.", hint="Write such as linux/amd64.")
    return platforms


def _checked_contexts(contexts: Mapping[str, str]) -> Mapping[str, str]:
    """Return the build contexts; raise InvalidInput for a folder that is not there."""
    for name, place in contexts.items():
        if not _ELSEWHERE.match(place) and not (place and is_folder(place)):
            raise InvalidInput(
                f"build-contexts has {name}={hidden(place)[:80]}, and there is no such folder.",
                hint="Write NAME=PATH of a folder, NAME=URL, or NAME=docker-image://IMAGE.",
            )
    return contexts


def _checked_ssh(lines: Sequence[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return what of SSH the build gets; raise InvalidInput for an agent or a key that is not there."""
    for line in lines:
        name, equals, places = line.partition("=")
        if not re.fullmatch(r"[\w.-]+", name) or (equals and not places):
            raise InvalidInput(
                "ssh has a line that is neither default nor NAME=PATH.",
                hint="Name a socket or a file with the key: a key itself does not belong here.",
            )
        agent = environment.get("SSH_AUTH_SOCK", "")
        if not equals and not (agent and os.path.exists(agent)):
            raise InvalidInput(
                f"ssh is {name}, and there is no SSH agent: SSH_AUTH_SOCK names none.",
                hint="Start one before this step (webfactory/ssh-agent), or name a key: ssh: default=PATH.",
            )
        for place in places.split(",") if equals else ():
            if not os.path.exists(place):
                raise InvalidInput(
                    f"ssh names {hidden(place)[:80]!r}, which is not there.", hint="Check its path."
                )
    return tuple(lines)


def _check_dockerfile(folder: str, given: str) -> None:
    if "://" in folder:
        return
    if not is_folder(folder):
        raise InvalidInput(f"There is no folder {folder!r} to build from.", hint="Check the context.")
    dockerfile = Path(given or Path(folder) / "Dockerfile")
    _check_for_docker(str(dockerfile), "dockerfile")
    if not is_file(str(dockerfile)):
        raise InvalidInput(
            f"There is no Dockerfile {str(dockerfile)!r}.",
            hint="Set dockerfile (from the working directory) or context; in a workflow run actions/checkout "
            "before.",
        )


def _check_for_docker(path: str, option: str) -> None:
    if is_no_regular_file(path):
        raise InvalidInput(
            f"{option}: {path!r} is no regular file, and Docker reads it by itself.",
            hint="A folder or a pipe such as <(…) cannot be handed on to it: name a file.",
        )


def _secret_values(secrets: Mapping[str, str | None], environment: Mapping[str, str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in secrets.items():
        if value is None and name not in environment:
            raise InvalidInput(
                f"build-secrets names {name}, and there is no environment variable {name}.",
                hint=f"Set {name} in the step's env, or write {name}=VALUE in the action's input.",
            )
        values[name] = environment[name] if value is None else value
    return values
