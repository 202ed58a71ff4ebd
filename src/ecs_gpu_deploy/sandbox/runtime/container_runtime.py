"""The runtime of real containers: it watches what the model wants, has it done, and reports.

One pass, ten times a second: the model moves up to the clock's time, the load balancers learn what they may
send traffic to, then the tasks learn their orders. So a container is told to end only after the load
balancers know that it gets nothing more.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from ecs_gpu_deploy.ecs_model import reports
from ecs_gpu_deploy.ecs_model.reports import Orders
from ecs_gpu_deploy.ecs_model.state import Task
from ecs_gpu_deploy.ecs_model.statuses import TargetState
from ecs_gpu_deploy.sandbox.ecs.region import Cluster, EcsRegion
from ecs_gpu_deploy.sandbox.ecs.surroundings import NOT_PULLED
from ecs_gpu_deploy.sandbox.neighbours.secret_values import NoValue
from ecs_gpu_deploy.sandbox.runtime.check_targets import Why
from ecs_gpu_deploy.sandbox.runtime.choose_target import Target
from ecs_gpu_deploy.sandbox.runtime.connect_docker import Docker
from ecs_gpu_deploy.sandbox.runtime.leftovers import end_leftovers
from ecs_gpu_deploy.sandbox.runtime.load_balancer import LoadBalancers, Routes
from ecs_gpu_deploy.sandbox.runtime.machine import Machine
from ecs_gpu_deploy.sandbox.runtime.pull_image import CannotPull, ImageSource, PulledImage
from ecs_gpu_deploy.sandbox.runtime.task_run import DaemonTrouble, TaskRun
from ecs_gpu_deploy.sandbox.world.clock import CLOCK_VARIABLE
from ecs_gpu_deploy.sandbox.world.state import Sandbox

PASS_SECONDS = 0.1
GOODBYE_SECONDS = 5.0
REMOVAL_SECONDS = 60.0
Ordered = tuple[EcsRegion, Cluster, Task, Orders]


class ContainerRuntime:
    """Run the real containers of a sandbox that has been settled, from `start` to `close`."""

    def __init__(self, sandbox: Sandbox, found: Docker, *, environment: Mapping[str, str]) -> None:
        """Take the sandbox, Docker, and the environment with which containers find the sandbox."""
        self._sandbox = sandbox
        self._environment = {key: value for key, value in environment.items() if key != CLOCK_VARIABLE}
        self._machine = Machine(found)
        self._balancers = LoadBalancers(self._take_verdict, speed=sandbox.clock.speed)
        self._verdicts: SimpleQueue[tuple[Target, TargetState, Why]] = SimpleQueue()
        self._runs: dict[str, tuple[TaskRun, threading.Thread]] = {}
        self._closing = threading.Event()
        self._told: set[str] = set()
        self._thread = threading.Thread(target=self._watch, name="container runtime", daemon=True)

    def start(self) -> None:
        """End what a killed sandbox left, and begin; the load balancers of the world have addresses then."""
        ended = end_leftovers(self._machine.client)
        if ended:
            sys.stderr.write(f"sandbox: ended containers of a sandbox that was killed: {', '.join(ended)}\n")
        if self._machine.bridge:
            port = int(self._environment["AWS_ENDPOINT_URL"].rpartition(":")[2])
            self._balancers.listen_at_gateway(self._machine.bridge, port)
        self._pass()
        self._thread.start()

    def load_balancers(self) -> dict[str, str]:
        """Give the address of each load balancer with a service of real containers behind it, by name."""
        return self._balancers.addresses()

    def close(self) -> None:
        """End every container at once, and the load balancers; say so where Docker cannot do it now."""
        self._closing.set()
        self._thread.join()
        self._balancers.close()
        self._machine.client.api.timeout = GOODBYE_SECONDS
        end = time.monotonic() + GOODBYE_SECONDS
        for run, _ in self._runs.values():
            _order(run, Orders(gone=True))
        for _, thread in self._runs.values():
            thread.join(max(0.0, end - time.monotonic()))
        try:
            self._machine.client.ping()
            self._machine.client.api.timeout = REMOVAL_SECONDS
            self._machine.sweep()
        except DaemonTrouble as trouble:
            sys.stderr.write(
                f"sandbox: Docker does not answer ({trouble}): containers may be left; "
                "the next sandbox on this machine ends them.\n"
            )
        self._machine.client.close()

    def _watch(self) -> None:
        while not self._closing.wait(PASS_SECONDS):
            try:
                self._pass()
            except Exception as error:  # noqa: BLE001 - the next pass may do; said once
                if str(error) not in self._told:
                    self._told.add(str(error))
                    sys.stderr.write(f"sandbox: {type(error).__name__}: {error}\n")

    def _pass(self) -> None:
        with self._sandbox.lock:
            now = self._sandbox.catch_up()
            self._report_verdicts()
            ordered = [
                (region, cluster, task, orders)
                for region in self._sandbox.regions
                for cluster in region.clusters.values()
                for task, orders in cluster.scheduler.orders(now)
            ]
            routes = self._routes(ordered)
        self._balancers.take(routes)
        for region, cluster, task, orders in ordered:
            if task.arn in self._runs:
                run, thread = self._runs[task.arn]
                _order(run, orders)
                if orders.gone and not thread.is_alive():
                    del self._runs[task.arn]
            elif not orders.gone:
                self._begin(region, cluster, task, orders)

    def _begin(self, region: EcsRegion, cluster: Cluster, task: Task, orders: Orders) -> None:
        account = _TaskAccount(
            sandbox=self._sandbox,
            region=region,
            cluster=cluster,
            task=task,
            machine=self._machine,
            variables=self._environment,
        )
        run = TaskRun(task, account, self._machine, orders)
        thread = threading.Thread(target=run.run, name=task.task_id, daemon=True)
        self._runs[task.arn] = run, thread
        thread.start()

    def _take_verdict(self, target: Target, state: TargetState, why: Why) -> None:
        self._verdicts.put((target, state, why))

    def _report_verdicts(self) -> None:
        while True:
            try:
                target, state, why = self._verdicts.get_nowait()
            except Empty:
                return
            for region in self._sandbox.regions:
                for cluster in region.clusters.values():
                    if target.task_arn in cluster.scheduler.tasks:
                        cluster.scheduler.report(
                            reports.target_checked,
                            target.group_arn,
                            target.address,
                            state,
                            why,
                            now=region.now,
                        )

    def _routes(self, ordered: list[Ordered]) -> Routes:
        """Say what the load balancers of services with real containers have to know."""
        wanted = {arn for region in self._sandbox.regions for arn in _groups_of_services(region)}
        if not wanted:
            return Routes()
        neighbours = self._sandbox.neighbours
        listeners = tuple(each for each in neighbours.listeners() if each.groups & wanted)
        groups = {arn: neighbours.checked_group(arn) for arn in wanted}
        targets = [target for _, _, task, orders in ordered if not orders.gone for target in _targets(task)]
        return Routes(
            listeners=listeners,
            groups={arn: group for arn, group in groups.items() if group is not None},
            targets=tuple(targets),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _TaskAccount:
    """The account as one task sees it."""

    sandbox: Sandbox
    region: EcsRegion
    cluster: Cluster
    task: Task
    machine: Machine
    variables: Mapping[str, str]

    def report(self, what: Callable[..., None], *arguments: Any) -> None:
        with self.sandbox.lock:
            self.cluster.scheduler.report(what, *arguments, now=self.sandbox.catch_up())

    def environment(self, definition: Mapping[str, Any], *, shares_network: bool) -> dict[str, str]:
        told = dict(self.variables)
        if not shares_network:
            told["AWS_ENDPOINT_URL"] = told["AWS_ENDPOINT_URL"].replace("127.0.0.1", "host.docker.internal")
        told["AWS_EXECUTION_ENV"] = "AWS_ECS_EC2"
        for pair in definition.get("environment") or ():
            told[str(pair["name"])] = str(pair.get("value", ""))
        with self.sandbox.lock:
            for secret in definition.get("secrets") or ():
                value_from = str(secret["valueFrom"])
                try:
                    told[str(secret["name"])] = self.sandbox.neighbours.environment_secret(value_from)
                except NoValue as error:
                    kind = "secret from asm" if ":secretsmanager:" in value_from else "secrets from ssm"
                    raise LookupError(f"{NOT_PULLED}unable to retrieve {kind}: {error}") from error
        return told

    def pull(self, container_name: str, goes_on: Callable[[], bool]) -> PulledImage | None:
        with self.sandbox.lock:
            image, cached = self.cluster.scheduler.images_to_pull(self.task)[container_name]
        source = ImageSource(
            client=self.machine.client,
            own_registry=self.sandbox.neighbours.images.own_registry,
            registry=self.sandbox.registry,
        )
        try:
            return source.pull(image, goes_on)
        except CannotPull:
            kept = source.kept(image, cached) if cached else None
            if kept is None:
                raise
            return kept

    def print(self, container_name: str, text: str) -> None:
        container = next(each for each in self.task.containers if each.name == container_name)
        with self.sandbox.lock:
            self.region.put_log_line(self.task, container, at=self.sandbox.clock.now(), text=text)


def _order(run: TaskRun, orders: Orders) -> None:
    if run.orders != orders:
        run.orders = orders
        run.changed.set()


def _groups_of_services(region: EcsRegion) -> Iterator[str]:
    """Yield the target groups of services whose tasks are real containers."""
    for cluster in region.clusters.values():
        for service in cluster.scheduler.services.values():
            balancers = service.config.get("loadBalancers") or ()
            if balancers and region.runs_containers(service.task_definition_arn):
                yield from (str(each["targetGroupArn"]) for each in balancers if each.get("targetGroupArn"))


def _targets(task: Task) -> Iterator[Target]:
    """Yield a task's targets with the ports of this machine where its containers really listen."""
    for target in task.targets:
        container = next(each for each in task.containers if each.name == target.container_name)
        ports = [
            bound.host_port
            for bound in container.network_bindings
            if target.port in {bound.host_port, bound.container_port}
        ]
        yield Target(
            group_arn=target.target_group_arn,
            task_arn=task.arn,
            address=(target.target_id, target.port),
            host_port=ports[0] if ports else 0,
            state=target.state,
        )
