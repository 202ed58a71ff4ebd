"""Look at AWS: one snapshot of the rollout after the other, with as few calls as that takes.

What passes (throttling, 5xx, a broken connection) is survived and said; what is closed to us for good is
asked once. Stopped tasks and their last log lines are collected during the wait: a rollback removes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from ecs_gpu_deploy.core.capacity.compute import compute_of
from ecs_gpu_deploy.core.capacity.container_instance import ContainerInstance
from ecs_gpu_deploy.core.capacity.fit import Requirement, required_attributes
from ecs_gpu_deploy.core.capacity.shortage import Shortage, shortage_of
from ecs_gpu_deploy.core.diagnose.rollout_causes import LastLook
from ecs_gpu_deploy.core.judge.codedeploy import CodeDeployState
from ecs_gpu_deploy.core.judge.evidence import SETTLE_SECONDS, is_failure, is_unplaced_event
from ecs_gpu_deploy.core.judge.observed import History, Snapshot
from ecs_gpu_deploy.core.judge.pace import (
    LATE_LINES_SECONDS,
    LookTimes,
    instances_are_due,
    is_calm,
    service_is_due,
    tasks_are_due,
)
from ecs_gpu_deploy.core.judge.watch import Watch
from ecs_gpu_deploy.edges.aws.answers import AwsError, HalfAnswer, Missing, Passing, refused
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.ecs import Ecs
from ecs_gpu_deploy.edges.aws.load_balancer import observe_targets
from ecs_gpu_deploy.edges.aws.logs import fetch_log_tail
from ecs_gpu_deploy.edges.machine.reporter import Reporter
from ecs_gpu_deploy.errors import DeployError
from ecs_gpu_deploy.model import (
    LogTail,
    Service,
    ServiceDeployment,
    ServiceDeploymentStatus,
    TargetHealth,
    Task,
    short_id,
)
from ecs_gpu_deploy.result import Finding, Severity

T = TypeVar("T")

_STOPS = frozenset({ServiceDeploymentStatus.STOPPED, ServiceDeploymentStatus.STOP_REQUESTED})
_LOG_TAILS = 12
SILENT_SECONDS = 120.0
"""After so long without an answer about service deployments the classic ones decide, until there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of the rollout: what was last seen, the service deployment's ARN, what cannot be seen.

    `arn` is "" while it is unknown. `codedeploy_id` is CodeDeploy's deployment, "" for ECS's own.
    """

    last: LastLook
    arn: str = ""
    findings: tuple[Finding, ...] = ()
    codedeploy_id: str = ""


class Looker:
    """What one asks of AWS, and what one remembers of it between two looks."""

    def __init__(self, aws: Aws, ecs: Ecs, reporter: Reporter, *, watch: Watch, service: Service) -> None:
        self._aws, self._ecs, self._reporter, self._watch = aws, ecs, reporter, watch
        self._present: Service | None = service
        self._deployment_key: tuple[object, ...] = ()
        self._closed: dict[str, Finding] = {}
        self._unseen: set[str] = set()
        self._blind: dict[str, str] = {}
        # Right after the update there is no task of ours yet.
        began = watch.watched.started_at
        self._times = LookTimes(changed_at=began, tasks_at=began, service_at=0.0, instances_at=0.0)
        self._service_key: tuple[object, ...] = ()
        self._seen_key: tuple[object, ...] = ()
        self._known_stopped: frozenset[str] = frozenset()
        self._stale = True
        self._tailed: dict[str, float] = {}
        self._shortage: Shortage | None = None
        self._cluster_tasks: tuple[Task, ...] | None = None
        self._requirement = watch.requirement
        self._knows_attributes = "requiresAttributes" in watch.definition
        self._service = service
        self._deployment: ServiceDeployment | None = None
        self._heard_at = max(began, watch.watched.watched_from or began)
        self._instances: tuple[ContainerInstance, ...] = ()
        self._log_tails: dict[str, LogTail] = {}
        self._arn = watch.deployment_arn
        self._codedeploy: CodeDeployState | None = None

    @property
    def watch(self) -> Watch:
        """Return what is watched, with what was learned of it since."""
        return self._watch

    def seen(self) -> Seen:
        """Return what is known now, also where a look was cut short."""
        return Seen(
            last=LastLook(
                service=self._service,
                deployment=self._deployment,
                instances=self._instances,
                log_tails=tuple(self._log_tails.values()),
            ),
            arn=self._arn,
            findings=tuple(self._closed.values()),
        )

    def look(self, history: History, now: float, *, whole: bool = False) -> tuple[Snapshot, Seen]:
        """Return one look at AWS at *now*, and what is known after it; *history* is what was seen before.

        A *whole* look asks for everything, stopped tasks and their logs included: a verdict hangs on it.
        """
        self._unseen = set()
        before = self._deployment_key
        self._look_at_deployment(now)
        if self._deployment_key != before:
            self._times = replace(self._times, changed_at=now)
        ended = self._deployment is not None and self._deployment.status.is_terminal
        whole = whole or ended
        calm = is_calm(self._deployment, history)
        news = self._deployment is None or self._deployment_key != before or whole or self._stale
        chosen = self._watch.keeps_interval
        news = news or history.unplaced_since is not None or chosen
        if service_is_due(self._times, now, news=news, calm=calm):
            self._look_at_service(now)
        tasks: tuple[Task, ...] | None = None
        targets: tuple[TargetHealth, ...] | None = None
        changed = self._service_key != self._seen_key
        if tasks_are_due(self._times, now, ended=whole or chosen, changed=changed, calm=calm):
            # AWS lists what is on its way out among the stopped ones.
            leaving = bool(history.leaving_since)
            tasks = self._look_at_tasks(now, with_stopped=whole or changed or leaving)
            targets = self._look_at_targets(tasks)
        silent = now - self._heard_at > SILENT_SECONDS
        snapshot = Snapshot(
            at=now,
            service=self._present,
            deployment=None if silent else self._deployment,
            api_closed=silent or "service-deployments" in self._closed,
            stale=self._stale,
            tasks=tasks,
            target_health=targets,
            shortage=self._look_for_room(history, tasks, now, fresh=whole),
            instances=self._instances_seen(now),
            newer=self._look_for_newer(),
            codedeploy=self._codedeploy,
            is_whole=whole,
            unseen=tuple(sorted(self._unseen)),
        )
        return snapshot, self.seen()

    def _instances_seen(self, now: float) -> frozenset[str] | None:
        """Return the container instances, None where this look did not ask for them."""
        return frozenset(i.arn for i in self._instances) if self._times.instances_at == now else None

    # The deployment and the service

    def _look_at_deployment(self, now: float) -> None:
        if "service-deployments" in self._closed:
            return
        if not self._arn:
            self._find_deployment(now)
            if not self._arn:
                return
        found = self._try("service-deployments", self._described)
        if found is not None:
            self._deployment, self._heard_at = found, now
            self._deployment_key = (
                found.status,
                found.running_tasks,
                found.pending_tasks,
                found.breaker_failures,
                found.breaker_status,
            )
        elif "service-deployments" in self._closed:
            self._deployment = None

    def _described(self) -> ServiceDeployment:
        """Return our service deployment; a view of AWS that lags behind may not know it yet."""
        try:
            return self._ecs.observe_deployment(self._arn)
        except Missing as error:
            raise HalfAnswer(error.text, code=error.code, request=error.request) from error

    def _find_deployment(self, now: float) -> None:
        """Find the service deployment whose target revision carries the N of `ecs-svc/N`.

        The Terraform provider does the same; right after UpdateService the newest may still be the previous
        (docs/aws-facts.md#deployment-identity).
        """
        if "service-deployments" in self._closed:
            return
        watched = self._watch.watched
        number = short_id(watched.deployment_id)
        briefs = self._try("service-deployments", self._list_deployments)
        if briefs is not None:
            self._heard_at = now
        for brief in briefs or ():
            if short_id(brief.target_revision_arn) == number:
                self._arn = brief.arn
                return
        if briefs is not None and now - watched.started_at > SETTLE_SECONDS:
            self._close(
                "service-deployments",
                "AWS lists no service deployment for ours, so the classic deployments decide.",
                "",
            )

    def _list_deployments(self) -> tuple[ServiceDeployment, ...]:
        return self._ecs.fetch_deployments(self._service.name, once=True, with_status=False)

    def _look_for_newer(self) -> ServiceDeployment | None:
        """Return the service deployment that began after ours, where AWS has stopped ours."""
        ours = self._deployment
        if ours is None or ours.status not in _STOPS:
            return None
        briefs = self._try("service-deployments", self._list_deployments)
        later = [each for each in briefs or () if each.created_at > ours.created_at and each.arn != ours.arn]
        return max(later, key=lambda each: each.created_at, default=None)

    def _look_at_service(self, now: float) -> None:
        name = self._service.name
        missing = object()
        self._stale = True
        found = self._try("service", lambda: self._ecs.observe_service(name) or missing)
        if found is None:
            return
        self._times = replace(self._times, service_at=now)
        self._stale = False
        if found is missing:
            self._present = None
            return
        if not isinstance(found, Service):
            return
        self._present = self._service = found
        self._service_key = (
            found.running_count,
            found.pending_count,
            tuple(
                (d.id, d.status, d.running_count, d.pending_count, d.failed_tasks) for d in found.deployments
            ),
            found.events[0].id if found.events else "",
        )

    # Tasks, targets, logs

    def _look_at_tasks(self, now: float, *, with_stopped: bool) -> tuple[Task, ...] | None:
        known = self._known_stopped
        seen = self._try(
            "tasks",
            lambda: self._ecs.observe_tasks(
                self._service.name, known_stopped=known, with_stopped=with_stopped
            ),
        )
        if seen is None:
            return None
        tasks = seen.tasks
        self._times = replace(self._times, tasks_at=now)
        self._seen_key = self._service_key
        ours = self._watch.watched.deployment_id
        stopped = [task for task in tasks if task.last_status == "STOPPED"]
        if with_stopped:
            # Of what AWS lists as stopped, some still stop: those are looked at again.
            ended = self._known_stopped | {task.arn for task in stopped}
            self._known_stopped = seen.stopped_arns & ended
        for task in stopped:
            if task.started_by == ours and is_failure(task) and task.id not in self._tailed:
                self._tail_logs(task, now)
        return tasks

    def _look_at_targets(self, tasks: tuple[Task, ...] | None) -> tuple[TargetHealth, ...] | None:
        """Return the targets' health where a task of ours runs; None where AWS did not show it."""
        ours = self._watch.watched.deployment_id
        if tasks is None or not any(t.last_status == "RUNNING" and t.started_by == ours for t in tasks):
            return None if tasks is None else ()
        found: list[TargetHealth] = []
        for arn in self._service.target_group_arns:
            found += self._try("targets", partial(observe_targets, self._aws, arn)) or ()
        return tuple(found)

    def _tail_logs(self, task: Task, now: float) -> None:
        """Keep the last lines of a failed task; of many failed ones, the first few tell enough."""
        if len(self._tailed.keys() | {task.id}) > _LOG_TAILS or not _has_started(task):
            return
        self._tailed[task.id] = now
        for container in self._watch.containers:
            tail = fetch_log_tail(self._aws, container, task.id, once=True)
            self._log_tails[f"{task.id}/{tail.container}"] = tail

    def tail_again(self, tasks: Sequence[Task], history: History, now: float) -> tuple[Seen, bool]:
        """Read again the lines of *tasks* whose last ones may have come since; say whether some may come yet.

        Lines arrive up to `LATE_LINES_SECONDS` after the container has ended.
        """
        started = [task for task in tasks if _has_started(task)][-_LOG_TAILS:]
        for task in started:
            ended = (task.stopped_at or now) - (history.offset or 0.0)
            if self._tailed.get(task.id, 0.0) < ended + LATE_LINES_SECONDS:
                self._tail_logs(task, now)
        seen, ids = self.seen(), {task.id for task in started}
        tails = seen.last.log_tails
        if any(tail.lines for tail in tails):
            return seen, False
        return seen, any(tail.may_come for tail in tails if tail.task_id in ids)

    # Container instances

    def _look_for_room(
        self, history: History, tasks: tuple[Task, ...] | None, now: float, *, fresh: bool
    ) -> Shortage | None:
        """Return why nothing finds a place, where that is so; and ask for instances once a minute, or now."""
        watched = self._watch.watched
        mine, others = history.live, history.others
        if tasks is not None:
            there = [task for task in tasks if task.last_status != "STOPPED"]
            mine = tuple(task for task in there if task.started_by == watched.deployment_id)
            others = tuple(task for task in there if task.started_by != watched.deployment_id)
        provisioning = sum(task.last_status == "PROVISIONING" for task in mine)
        seen = watched.known_events | {event.id for event in history.events}
        refused_now = self._present is not None and any(
            is_unplaced_event(event) for event in self._present.events if event.id not in seen
        )
        if not provisioning and history.unplaced_since is None and not refused_now:
            self._shortage = self._cluster_tasks = None
            return None
        if self._requirement is None or self._service.launch_type == "FARGATE":
            return None
        requirement = self._with_attributes(self._requirement)
        if fresh or instances_are_due(self._times, now):
            found = self._try("instances", self._ecs.observe_instances)
            self._times = replace(self._times, instances_at=now)
            if found is not None:
                self._instances = found
        if "instances" in self._closed:
            return None
        compute = compute_of(
            launch_types=[self._service.launch_type, *(task.launch_type for task in mine)],
            providers=self._service.capacity_providers,
            compatibilities=self._watch.definition.get("requiresCompatibilities") or (),
        )
        self._shortage = shortage_of(
            requirement,
            self._instances,
            compute=compute,
            service=self._service,
            provisioning=provisioning,
            old_tasks=others,
            new_tasks=mine,
            other_tasks=self._others_in_cluster(fresh=fresh),
        )
        return self._shortage

    def _with_attributes(self, requirement: Requirement) -> Requirement:
        """Return *requirement* with what AWS itself derived from the revision, asked for once.

        Only a registered revision has `requiresAttributes` (API Reference, "TaskDefinition").
        """
        if not self._knows_attributes:
            self._knows_attributes = True
            with suppress(DeployError):
                body = self._ecs.fetch_task_definition(self._watch.watched.task_definition).body
                self._requirement = replace(requirement, attributes=required_attributes(body))
        return self._requirement or requirement

    def _others_in_cluster(self, *, fresh: bool) -> tuple[Task, ...]:
        """Return the tasks of other services, as seen when the shortage began or, for a verdict, now."""
        if fresh or self._cluster_tasks is None:
            seen = self._try("cluster-tasks", self._ecs.observe_cluster_tasks)
            self._unseen.discard("cluster-tasks")  # only names: no verdict waits for them
            self._cluster_tasks = seen if seen is not None else self._cluster_tasks or ()
        mine = f"service:{self._service.name}"
        return tuple(task for task in self._cluster_tasks if task.group != mine)

    def look_at_instances_of(self, tasks: Sequence[Task]) -> Seen:
        """Add the container instances of *tasks* to those known: is their agent connected, their GPU well?"""
        known = {instance.arn for instance in self._instances}
        arns = sorted({task.container_instance_arn for task in tasks if task.container_instance_arn} - known)
        if arns:
            found = self._try("instances", lambda: self._ecs.observe_instances(arns[:100]))
            self._instances = (*self._instances, *(found or ()))
        return self.seen()

    # What AWS does not answer

    def _try(self, what: str, look: Callable[[], T]) -> T | None:
        """Return what *look* sees; None where AWS passes or closes it. Our own errors come through."""
        if what in self._closed:
            return None
        self._unseen.add(what)
        try:
            seen = look()
        except AwsError as error:
            passes = isinstance(error, Passing)
            if what not in _ESSENTIAL and not passes:
                self._unseen.discard(what)
                self._close(what, f"AWS does not show us {_WHAT[what]}: {error.text}", self._hint(what))
            elif passes:
                self._say_blind(what, error.text)
            else:
                raise refused(error, f"see {_WHAT[what]}") from error
            return None
        self._unseen.discard(what)
        if what in self._blind:
            del self._blind[what]
            self._reporter.say(f"AWS answers again about {_WHAT[what]}")
        return seen

    def _close(self, what: str, message: str, hint: str) -> None:
        self._closed[what] = Finding(code="cannot-see", severity=Severity.WARNING, message=message, hint=hint)
        self._reporter.say(f"warning: {message} {hint}".rstrip())

    def _hint(self, what: str) -> str:
        """Return what to allow so that it is seen, and what becomes of a stage that nobody sees."""
        until = self._watch.watched.until
        if until is None or what != "service-deployments":
            return _NEEDS[what]
        return f"{_NEEDS[what]} Without them no stage is seen, so the wait goes on past {until} to the end."

    def _say_blind(self, what: str, why: str) -> None:
        if what not in self._blind:
            self._reporter.say(f"AWS does not answer about {_WHAT[what]} just now ({why}); the wait goes on")
        self._blind[what] = why


def _has_started(task: Task) -> bool:
    return task.started_at is not None or any(c.exit_code is not None for c in task.containers)


_ESSENTIAL = frozenset({"service", "codedeploy"})
"""Without these nobody can tell how it goes on."""
_WHAT = {
    "codedeploy": "the deployment of CodeDeploy",
    "lifecycle": "the lifecycle events of CodeDeploy",
    "service-deployments": "the service deployment",
    "service": "the service",
    "tasks": "the tasks",
    "targets": "the targets' health",
    "instances": "the container instances",
    "cluster-tasks": "the tasks of other services",
}
_NEEDS = {
    "lifecycle": "Allow codedeploy:ListDeploymentTargets and codedeploy:BatchGetDeploymentTargets: without "
    "them neither hooks nor the share of the traffic are seen.",
    "service-deployments": "The classic deployments decide instead; allow ecs:ListServiceDeployments and "
    "ecs:DescribeServiceDeployments for the full picture.",
    "tasks": "Allow ecs:ListTasks and ecs:DescribeTasks: without them neither causes nor digests are seen.",
    "targets": "Allow elasticloadbalancing:DescribeTargetHealth.",
    "instances": "Allow ecs:ListContainerInstances and ecs:DescribeContainerInstances: without them nobody "
    "can say why a task finds no place.",
    "cluster-tasks": "Allow ecs:ListTasks and ecs:DescribeTasks in the whole cluster: without them "
    "nobody can say who else holds GPUs.",
}
