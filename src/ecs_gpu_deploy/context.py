"""What every step of a command is handed: the edges, and where to record what is found out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.ecs import Ecs
from ecs_gpu_deploy.edges.ci.github_api import GitHubApi
from ecs_gpu_deploy.edges.machine.clock import Clock
from ecs_gpu_deploy.edges.machine.reporter import Reporter
from ecs_gpu_deploy.facts import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The edges. `record` takes facts for the result, and gives none back; `mask` hides a text in the log."""

    aws: Aws
    ecs: Ecs
    clock: Clock
    reporter: Reporter
    record: Record
    github: GitHubApi
    mask: Callable[[str], None]
