"""Look at a batch: its tasks, why there is no room for more, and the last log lines of what failed.

What passes (throttling, 5xx, a broken connection) is survived and said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ecs_gpu_deploy.core.capacity.compute import Compute, ComputeKind
from ecs_gpu_deploy.core.capacity.fit import requirement_of
from ecs_gpu_deploy.core.capacity.shortage import Shortage, shortage_of
from ecs_gpu_deploy.edges.aws.answers import AwsError, Passing, refused
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.ecs import Ecs
from ecs_gpu_deploy.edges.aws.ecs_tasks import EcsTasks, SeenTasks
from ecs_gpu_deploy.edges.aws.logs import fetch_log_tail
from ecs_gpu_deploy.edges.machine.reporter import Reporter
from ecs_gpu_deploy.model import LogTail, Task

_LOG_TAILS = 8


class BatchLooker:
    """What one asks of AWS about a batch."""

    def __init__(
        self, aws: Aws, ecs: Ecs, edge: EcsTasks, reporter: Reporter, *, definition: Mapping[str, Any]
    ) -> None:
        self._aws, self._ecs, self._edge, self._reporter = aws, ecs, edge, reporter
        self._definition = definition
        self._blind = ""

    def look_at_tasks(self, live: Sequence[Task], now: float) -> SeenTasks | None:
        """Return the tasks as they are now, None where AWS does not answer. Refused where it says no."""
        if not live:
            return SeenTasks(tasks=(), unknown=())
        try:
            seen = self._edge.look_at([task.arn for task in live])
        except AwsError as error:
            if not isinstance(error, Passing):
                raise refused(error, "describe the tasks") from error
            if not self._blind:
                self._blind = error.text
                self._say(f"AWS does not answer about the tasks just now ({self._blind})", now)
            return None
        if self._blind:
            self._blind = ""
            self._say("AWS answers again about the tasks", now)
        return seen

    def look_for_room(
        self, overrides: Mapping[str, Any] | None, compute: Compute, *, provisioning: int
    ) -> Shortage | None:
        """Return what the instances lack: a task too large for all of them need not be waited for."""
        if compute.kind is ComputeKind.FARGATE:
            return None
        with suppress(ValueError, AwsError):
            requirement = requirement_of(self._definition, overrides=overrides)
            instances = self._ecs.observe_instances()
            others: tuple[Task, ...] = ()
            with suppress(AwsError):
                others = self._ecs.observe_cluster_tasks()
            return shortage_of(
                requirement, instances, compute=compute, provisioning=provisioning, other_tasks=others
            )
        return None

    def look_at_logs(self, failed: Sequence[Task]) -> tuple[LogTail, ...]:
        """Return the last lines of the first failed tasks that ran."""
        ran = [task for task in failed if task.started_at]
        containers = self._definition.get("containerDefinitions") or ()
        return tuple(
            fetch_log_tail(self._aws, container, task.id)
            for task in ran[:_LOG_TAILS]
            for container in containers
        )

    def _say(self, text: str, now: float) -> None:
        self._reporter.say(text, now=now)
