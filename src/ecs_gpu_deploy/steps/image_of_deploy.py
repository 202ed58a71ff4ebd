"""The image of a deploy: everything is checked that can be without it, then it is built and pushed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.definition.overrides import Overrides
from ecs_gpu_deploy.core.definition.task_definition import container_named, images
from ecs_gpu_deploy.core.identity.attestation import HOW_TO_ATTEST
from ecs_gpu_deploy.core.image.build_failure import Blame
from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.image.repository import is_ecr
from ecs_gpu_deploy.edges.aws.prerequisites import fetch_prerequisites, secrets_of
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.requests import DeployRequest
from ecs_gpu_deploy.model import Service
from ecs_gpu_deploy.steps.build_image import BuiltImage, build_image
from ecs_gpu_deploy.steps.look_at_lifecycle import lifecycle_findings
from ecs_gpu_deploy.steps.render_revision import plan_revision
from ecs_gpu_deploy.steps.start_deployment import check_fit, named_where_refused, wait_for_others


@dataclass(frozen=True, slots=True, kw_only=True)
class WithImage:
    """What is to be set in the revision, and the image that was built for it, if any."""

    overrides: Overrides
    built: BuiltImage | None = None


def with_built_image(context: Context, request: DeployRequest, services: Sequence[Service]) -> WithImage:
    """Return the overrides with the image that is built for them; as they are where nothing is to build.

    The first of *services* says where it is pushed by default. Nothing is built for a deployment that cannot
    be: its revision, the services, their ongoing deployments and the roles are checked before.
    """
    overrides, options, first = request.revision.overrides, request.build, services[0]
    if options is None:
        return WithImage(overrides=overrides)
    running = context.ecs.fetch_task_definition(first.task_definition)
    given = images(running.body)
    reference = ImageReference.from_text(given[container_named(running.body, overrides.container)])
    if not options.repository and not is_ecr(reference.registry):
        raise InvalidInput(
            f"The service runs {reference}, which is not in ECR, so where to push is not known.",
            hint="Set the input repository.",
        )
    commands: list[bool] = []

    def check(image: ImageReference) -> None:
        if request.signer is not None:
            raise InvalidInput(
                f"require-attestation is set, and {image} is not in ECR yet: what is built here has none.",
                hint=f"Build it with push, attest it, and deploy it then. {HOW_TO_ATTEST}",
            )
        planned = replace(overrides, images={"": str(image)})
        commands.append(_check(context, request, services, planned))

    def check_built(config: Mapping[str, Any]) -> None:
        if not any(commands) and starts_nothing(config):
            raise InvalidInput(
                "The image has neither ENTRYPOINT nor CMD, and its container no command: none of its tasks "
                "could start. The service was not changed.",
                hint="Set ENTRYPOINT or CMD in the Dockerfile, or command in the task definition.",
                diagnosis_code=Blame.BUILD,
            )

    built = build_image(
        context,
        options,
        default_repository=reference.name,
        running=reference,
        check=check,
        check_built=check_built,
    )
    for finding in lifecycle_findings(context, built.repository, first, overrides.container):
        context.record(finding)
    if built.config is not None:
        check_built(built.config)
    return WithImage(overrides=replace(overrides, images={"": str(built.reference)}), built=built)


def starts_nothing(config: Mapping[str, Any]) -> bool:
    """Say whether an image of this configuration (OCI image specification) says nothing to run."""
    return not (config.get("Entrypoint") or config.get("Cmd"))


def _check(
    context: Context, request: DeployRequest, services: Sequence[Service], overrides: Overrides
) -> bool:
    """Raise InvalidInput or Refused for what no image can mend; say whether the container has a command."""
    definition = plan_revision(
        context, request.revision, overrides, runs=services[0].task_definition
    ).definition
    for name, service in zip(request.services, services, strict=True):
        with named_where_refused(context, service.name, service):
            check_fit(definition, service)
            if request.ongoing == "refuse":
                wait_for_others(replace(context, ecs=context.ecs.of(name)), service, request)
    seen = fetch_prerequisites(context.aws, definition, known=tuple(secrets_of(definition)))
    if seen.gone:
        raise InvalidInput(
            f"The task definition names what does not exist: {', '.join(seen.gone)}.",
            hint="Create it, or name another one; nothing was built.",
        )
    name = container_named(definition, overrides.container)
    container = next(one for one in definition["containerDefinitions"] if one["name"] == name)
    return bool(container.get("command") or container.get("entryPoint"))
