"""What every step of a command is handed, and what is known so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from ecs_gpu_deploy.core.show.report import Details
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.ecs import Ecs
from ecs_gpu_deploy.edges.machine.clock import Clock
from ecs_gpu_deploy.edges.machine.reporter import Reporter
from ecs_gpu_deploy.model import Service
from ecs_gpu_deploy.result import Diagnosis, Finding, PastDeployment, Phase, ServiceEnd, TaskEnd
from ecs_gpu_deploy.steps.render_revision import Rendering
from ecs_gpu_deploy.steps.watch_rollout import Ending


@dataclass(slots=True, kw_only=True)
class Draft:
    """What is known so far, so that a result can be written wherever the command ends."""

    service: Service | None = None
    rendering: Rendering | None = None
    image: str = ""
    image_digest: str = ""
    task_definition_arn: str = ""
    previous_task_definition_arn: str = ""
    started: bool = False
    ending: Ending | None = None
    details: Details = field(default_factory=Details)
    findings: list[Finding] = field(default_factory=list)
    services: tuple[ServiceEnd, ...] = ()
    tasks: tuple[TaskEnd, ...] = ()
    history: tuple[PastDeployment, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    phases: tuple[Phase, ...] = ()
    exit_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The edges, and the draft of the result."""

    aws: Aws
    ecs: Ecs
    clock: Clock
    reporter: Reporter
    draft: Draft
