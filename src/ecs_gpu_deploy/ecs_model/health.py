"""When a task counts as healthy: container checks, target checks, the grace period.

A container's behaviour is known from its start, so each next verdict is worked out at once instead of
stepping through every probe: one entry in the queue per change, none for a task that stays as it is.
Sources: AWS pages "HealthCheck", "Health checks for Application Load Balancer target groups",
"DeploymentConfiguration"; docs/aws-facts.md#container-health-check, #target-health-check and
#healthy-after-40-seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecs_gpu_deploy.core.defaults import UNCHECKED_SECONDS, health_check_number
from ecs_gpu_deploy.ecs_model import breaker, events
from ecs_gpu_deploy.ecs_model.model import Model
from ecs_gpu_deploy.ecs_model.scripts import UNREADY_TIMEOUT
from ecs_gpu_deploy.ecs_model.state import Container, Instance, Target, TargetHealth, Task
from ecs_gpu_deploy.ecs_model.statuses import HealthStatus, TargetState, TaskStatus
from ecs_gpu_deploy.model import TargetGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeRule:
    """How a checker probes and decides. Seconds; `start_period` excuses failures before the first success."""

    interval: float
    failure_seconds: float
    waits_for_answer: bool
    first_successes: int
    successes: int
    failures: int
    start_period: float = 0.0


@dataclass(slots=True, kw_only=True)
class Probing:
    """Where a checker stands. `next_probe` counts from the container's start; `verdict` None is undecided."""

    rule: ProbeRule
    next_probe: float
    verdict: bool | None = None
    row: int = 0

    def next_verdict(self, answers: Callable[[float], bool], settled_after: float) -> float | None:
        """Go on to the next change of the verdict and give its time, or None where there is none to come."""
        rule = self.rule
        # Once the answers stay the same, as many probes as the longest row decide for good.
        left = max(rule.successes, rule.failures, rule.first_successes) + 1
        while left:
            probe, good = self.next_probe, answers(self.next_probe)
            at = probe if good else probe + rule.failure_seconds
            self.next_probe = (at if rule.waits_for_answer else probe) + rule.interval
            if probe >= max(settled_after, rule.start_period):
                left -= 1
            excused = not good and self.verdict is None and probe < rule.start_period
            if good is self.verdict or excused:
                self.row = 0
                continue
            self.row = (max(self.row, 0) + 1) if good else (min(self.row, 0) - 1)
            needed = rule.failures
            if good:
                needed = rule.first_successes if self.verdict is None else rule.successes
            if abs(self.row) >= needed:
                self.verdict, self.row = good, 0
                return at
        return None


def begin(model: Model, task: Task) -> None:
    """Start the checks of a task that just reached RUNNING (docs/aws-facts.md#healthy-after-40-seconds)."""
    checked = False
    for container in task.containers:
        check = container.definition.get("healthCheck")
        if check and container.last_status == "RUNNING":
            checked = checked or container.essential
            if not task.reported:
                rule = container_rule(check, timed_out=_times_out(container))
                _probe_container(model, task, container, Probing(rule=rule, next_probe=0.0))
    for name_and_port in task.target_groups:
        checked = True
        _register(model, task, *name_and_port)
    if not checked and task.service_name:
        model.after(UNCHECKED_SECONDS, evaluate, task)
    if task.reported:
        evaluate(model, task)  # a container that another one waited for was healthy before


def container_rule(check: Mapping[str, Any], *, timed_out: bool = False) -> ProbeRule:
    """Read a raw healthCheck with AWS's defaults (page "HealthCheck").

    *timed_out*: a failure is no answer.
    """
    return ProbeRule(
        interval=health_check_number(check, "interval"),
        failure_seconds=health_check_number(check, "timeout") if timed_out else 0.0,
        waits_for_answer=True,
        first_successes=1,
        successes=1,
        failures=health_check_number(check, "retries"),
        start_period=health_check_number(check, "startPeriod"),
    )


def target_rule(group: TargetGroup, *, timed_out: bool = False) -> ProbeRule:
    """Read a target group's check; a newly registered target needs one success only.

    *timed_out*: a failure is no answer. Source: docs/aws-facts.md#target-health-check.
    """
    return ProbeRule(
        interval=group.interval,
        failure_seconds=group.timeout if timed_out else 0.0,
        waits_for_answer=False,
        first_successes=1,
        successes=group.healthy_threshold,
        failures=group.unhealthy_threshold,
    )


def healthy_after(rules: Sequence[ProbeRule], load: float) -> float:
    """Return how long after its start a task that loads for *load* seconds is healthy by all of *rules*.

    Source: docs/aws-facts.md#container-health-check and #target-health-check.
    """
    found = 0.0
    for rule in rules:
        probing, at = Probing(rule=rule, next_probe=rule.interval), None
        while not probing.verdict:
            at = probing.next_verdict(lambda age: age >= load, load)
        found = max(found, at or 0.0)
    return found


def evaluate(model: Model, task: Task) -> None:
    """Decide anew whether a task counts as healthy, or is to be replaced.

    Sources: docs/aws-facts.md#healthy-after-40-seconds and #grace-period.
    """
    if not task.live or task.last_status is not TaskStatus.RUNNING:
        task.healthy = False
        return
    checked = [each for each in task.containers if each.essential and each.has_health_check]
    task.health_status = _task_health(checked)
    service = model.service_of(task)
    if service is None or task.started_at is None:
        return
    good = (
        all(each.health_status is HealthStatus.HEALTHY for each in checked)
        and all(target.state is TargetState.HEALTHY for target in task.targets)
        and len(task.targets) == len(task.target_groups)
    )
    if good and not checked and not task.targets:
        good = model.now >= task.started_at + UNCHECKED_SECONDS
    if good != task.healthy:
        task.healthy = good
        if good:
            breaker.task_healthy(model, task)
        model.touch(service)
    sick_container = any(each.health_status is HealthStatus.UNHEALTHY for each in checked)
    sick_target = next((each for each in task.targets if each.state is TargetState.UNHEALTHY), None)
    if not sick_container and sick_target is None:
        task.unhealthy_reason = ""
        return
    grace_ends = task.started_at + float(service.config.get("healthCheckGracePeriodSeconds") or 0)
    if model.now < grace_ends:
        model.at(grace_ends, evaluate, task)
        return
    if task.unhealthy_reason:
        return
    if sick_container:
        task.unhealthy_reason = "Task failed container health checks"
        events.say(model, service, f"(task {task.task_id}) failed container health checks.")
    elif sick_target is not None:
        group = sick_target.target_group_arn
        task.unhealthy_reason = f"Task failed ELB health checks in (target-group {group})"
        events.say(
            model,
            service,
            f"(task {task.task_id}) (port {sick_target.port}) is unhealthy in (target-group {group}) due to "
            f"(reason {sick_target.description}).",
        )
    model.touch(service)


def deregister(model: Model, task: Task) -> float:
    """Begin to drain a task's targets and give the time when the last one has drained.

    Epoch seconds. Source: docs/aws-facts.md#target-health-check.
    """
    ends = model.now
    service = model.service_of(task)
    for target in task.targets:
        if target.drains_until is not None:
            continue
        group = model.surroundings.target_group(target.target_group_arn)
        target.state = TargetState.DRAINING
        target.reason = "Target.DeregistrationInProgress"
        target.description = "Target deregistration is in progress"
        target.drains_until = model.now + (group.deregistration_delay if group else 0.0)
        ends = max(ends, target.drains_until)
        model.at(target.drains_until, _forget_target, target)
        if service is not None:
            events.note(service, "deregistered", target.target_group_arn, task.task_id)
    if service is not None and task.targets:
        events.note(service, "draining", "", task.task_id)
        model.touch(service)
    return ends


def target_health(model: Model, target_group_arn: str) -> tuple[TargetHealth, ...]:
    """Give what DescribeTargetHealth says about a target group."""
    return tuple(_target_health(model, target) for target in model.targets.get(target_group_arn, {}).values())


# DescribeTargetHealth shows Elb.RegistrationInProgress only for the first moments.
_REGISTRATION_SECONDS = 5.0


def _target_health(model: Model, target: Target) -> TargetHealth:
    reason, description = target.reason, target.description
    if target.state is TargetState.INITIAL and model.now >= target.registered_at + _REGISTRATION_SECONDS:
        reason, description = "Elb.InitialHealthChecking", "Initial health checks in progress"
    return TargetHealth(
        target_id=target.target_id,
        port=target.port,
        availability_zone=target.availability_zone,
        state=target.state,
        reason=reason,
        description=description,
    )


def _task_health(checked: list[Container]) -> HealthStatus:
    statuses = {each.health_status for each in checked}
    if HealthStatus.UNHEALTHY in statuses:
        return HealthStatus.UNHEALTHY
    return HealthStatus.HEALTHY if statuses == {HealthStatus.HEALTHY} else HealthStatus.UNKNOWN


def _probe_container(model: Model, task: Task, container: Container, probing: Probing) -> None:
    started = container.started_at
    if started is None:
        return
    if probing.next_probe == 0.0:
        probing.next_probe = probing.rule.interval
    script = container.script

    def passes(age: float) -> bool:
        return script.container_check_works and script.answers(age)

    at = probing.next_verdict(passes, script.settled_after)
    if at is not None:
        model.at(started + at, _container_verdict, task, container, probing)


def _container_verdict(model: Model, task: Task, container: Container, probing: Probing) -> None:
    if task.last_status is not TaskStatus.RUNNING or container.last_status != "RUNNING":
        return
    container.health_status = HealthStatus.HEALTHY if probing.verdict else HealthStatus.UNHEALTHY
    task.version += 1
    evaluate(model, task)
    _probe_container(model, task, container, probing)


def _register(model: Model, task: Task, group_arn: str, container_name: str, port: int) -> None:
    group = model.surroundings.target_group(group_arn)
    container = next((each for each in task.containers if each.name == container_name), None)
    if group is None or container is None:
        return
    instance = model.instances.get(task.instance_arn or "")
    target_id, target_port = _address(task, instance, container, port, group)
    target = Target(
        target_group_arn=group_arn,
        target_id=target_id,
        port=target_port,
        availability_zone=task.availability_zone,
        container_name=container_name,
        task_arn=task.arn,
        registered_at=model.now,
    )
    model.targets.setdefault(group_arn, {})[target_id, target_port] = target
    task.targets = (*task.targets, target)
    service = model.service_of(task)
    if service is not None:
        events.note(service, "registered", group_arn, task.task_id)
        model.touch(service)
    if task.reported:
        return
    rule = target_rule(group, timed_out=_times_out(container))
    _probe_target(model, task, container, target, Probing(rule=rule, next_probe=rule.interval))


def _address(
    task: Task, instance: Instance | None, container: Container, port: int, group: TargetGroup
) -> tuple[str, int]:
    if task.network_interface is not None:
        return task.network_interface.private_ipv4_address, port
    bound = next((each for each in container.network_bindings if each.container_port == port), None)
    host_port = bound.host_port if bound else port
    if instance is None:
        return "", host_port
    return (instance.private_ip if group.target_type == "ip" else instance.ec2_instance_id), host_port


def _times_out(container: Container) -> bool:
    return container.script.unhealthy_status == UNREADY_TIMEOUT


def _probe_target(model: Model, task: Task, container: Container, target: Target, probing: Probing) -> None:
    at = probing.next_verdict(container.script.answers, container.script.settled_after)
    if at is not None:
        model.at(target.registered_at + at, _target_verdict, task, container, target, probing)


def _target_verdict(model: Model, task: Task, container: Container, target: Target, probing: Probing) -> None:
    if target.drains_until is not None:
        return
    if probing.verdict:
        target.state, target.reason, target.description = TargetState.HEALTHY, "", ""
    else:
        target.state = TargetState.UNHEALTHY
        if container.script.unhealthy_status == UNREADY_TIMEOUT:
            target.reason, target.description = "Target.Timeout", "Request timed out"
        else:
            target.reason = "Target.ResponseCodeMismatch"
            target.description = (
                f"Health checks failed with these codes: [{container.script.unhealthy_status}]"
            )
    evaluate(model, task)
    _probe_target(model, task, container, target, probing)


def _forget_target(model: Model, target: Target) -> None:
    group = model.targets.get(target.target_group_arn, {})
    if group.get((target.target_id, target.port)) is target:
        del group[target.target_id, target.port]
