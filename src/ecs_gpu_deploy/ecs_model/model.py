"""The memory and the event queue that all rules of the scheduler share."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from ecs_gpu_deploy.ecs_model.identifiers import Identifiers
from ecs_gpu_deploy.ecs_model.scripts import Surroundings
from ecs_gpu_deploy.ecs_model.state import (
    CapacityProvider,
    Container,
    Deployment,
    Instance,
    LogLine,
    Service,
    ServiceDeployment,
    ServiceRevision,
    Target,
    Task,
)

# Changes of one service within this time are looked at together.
RECONCILE_SECONDS = 1.0


class Model:
    """Hold one cluster's things and what is due when; the rules are functions over it, in other modules."""

    def __init__(
        self,
        *,
        cluster_name: str,
        cluster_arn: str,
        identifiers: Identifiers,
        surroundings: Surroundings,
        reconcile: Callable[[Model, Service], None],
        offer_room: Callable[[Model], None],
        now: float,
    ) -> None:
        self.cluster_name = cluster_name
        self.cluster_arn = cluster_arn
        self.identifiers = identifiers
        self.surroundings = surroundings
        self.region = cluster_arn.split(":")[3]
        self.now = now
        self.breaker_counts_placement = False
        self.services: dict[str, Service] = {}
        self.inactive_services: dict[str, Service] = {}
        self.deployments: dict[str, Deployment] = {}
        self.service_deployments: dict[str, ServiceDeployment] = {}
        self.service_revisions: dict[str, ServiceRevision] = {}
        self.tasks: dict[str, Task] = {}
        self.provisioning: dict[str, Task] = {}
        self.instances: dict[str, Instance] = {}
        self.capacity_providers: dict[str, CapacityProvider] = {}
        self.default_strategy: tuple[Mapping[str, Any], ...] = ()
        self.targets: dict[str, dict[tuple[str, int], Target]] = {}
        self.blocked_services: dict[str, None] = {}
        self.alarms: set[str] = set()
        self.logs: list[tuple[float, int, LogLine, Container]] = []
        self._reconcile = reconcile
        self._offer_room = offer_room
        self._offering = False
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = count()

    def at(self, when: float, action: Callable[..., None], *arguments: Any) -> None:
        """Let `action(model, *arguments)` happen at that time; equal times keep the order of these calls."""
        heapq.heappush(self._queue, (max(when, self.now), next(self._sequence), action, arguments))

    def after(self, seconds: float, action: Callable[..., None], *arguments: Any) -> None:
        """Let `action(model, *arguments)` happen so many seconds from now."""
        self.at(self.now + seconds, action, *arguments)

    def log(self, line: LogLine, container: Container) -> None:
        """Keep a log line until it is due; one later than its container's end is never printed."""
        heapq.heappush(self.logs, (line.at, next(self._sequence), line, container))

    def next_due(self) -> float | None:
        """Give the time of the next thing due."""
        return self._queue[0][0] if self._queue else None

    def advance(self, now: float) -> None:
        """Let everything due up to `now` happen, each thing at its own time."""
        queue = self._queue
        while queue and queue[0][0] <= now:
            when, _, action, arguments = heapq.heappop(queue)
            self.now = max(self.now, when)
            action(self, *arguments)
        self.now = max(self.now, now)

    def touch(self, service: Service, delay: float = RECONCILE_SECONDS) -> None:
        """Have a service looked at soon; several reasons within the delay make one look."""
        when = self.now + delay
        if service.reconcile_at is None or when < service.reconcile_at:
            service.reconcile_at = when
            self.at(when, _look_at, service, when)

    def room_freed(self) -> None:
        """Offer free room to whoever waits for it, once everything of this moment has happened."""
        if not self._offering:
            self._offering = True
            self.at(self.now, _offer)

    def offer_room(self) -> None:
        """Offer free room to whoever waits for it, now."""
        self._offering = False
        self._offer_room(self)

    def reconcile(self, service: Service) -> None:
        """Look at a service now."""
        service.reconcile_at = None
        self._reconcile(self, service)

    def zone(self, zone: str) -> str:
        """Give an Availability Zone's full name; a single letter is one of this Region's."""
        return f"{self.region}{zone}" if len(zone) == 1 else zone

    def service_of(self, task: Task) -> Service | None:
        """Give the service that a task belongs to, if it still exists."""
        return self.services.get(task.service_name) if task.service_name else None


def _look_at(model: Model, service: Service, when: float) -> None:
    # A look that was moved forward leaves its old entry in the queue.
    if service.reconcile_at == when:
        model.reconcile(service)


def _offer(model: Model) -> None:
    model.offer_room()
