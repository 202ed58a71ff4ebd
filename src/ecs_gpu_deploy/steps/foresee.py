"""Foresee a rollout: look at the room there is, walk through it, and run the model of ECS ahead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, TypeVar

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.capacity.addresses import SubnetSeen
from ecs_gpu_deploy.core.capacity.answer import Capacity, Fit, capacity_of, fit_of
from ecs_gpu_deploy.core.capacity.compute import Compute, ComputeKind, compute_of
from ecs_gpu_deploy.core.capacity.container_instance import ContainerInstance
from ecs_gpu_deploy.core.capacity.fit import (
    Requirement,
    requirement_of,
    unreadable_of,
    with_attributes,
    without_constraints,
)
from ecs_gpu_deploy.core.capacity.gpus import GpuKind
from ecs_gpu_deploy.core.capacity.holders import gpus_held
from ecs_gpu_deploy.core.capacity.price import Price, price_for
from ecs_gpu_deploy.core.capacity.remedies import Remedy, remedies_of
from ecs_gpu_deploy.core.capacity.seen_room import GroupSeen, situation_seen, subnets_of, supplies_of
from ecs_gpu_deploy.core.capacity.shortage import shortage_of
from ecs_gpu_deploy.core.capacity.situation import Situation, Supply
from ecs_gpu_deploy.core.capacity.walk import walk
from ecs_gpu_deploy.core.definition.provenance import told_by
from ecs_gpu_deploy.core.past.calibration import (
    Calibration,
    calibrated,
    calibration_told,
    errors_of,
    fitted_source,
    to_fit,
)
from ecs_gpu_deploy.core.past.durations import Durations, durations_of, lacks_any, warmed
from ecs_gpu_deploy.core.past.failing import Failing, failing_of
from ecs_gpu_deploy.core.past.pulls import Pulls
from ecs_gpu_deploy.core.past.scores import interval_of, scores_of
from ecs_gpu_deploy.core.rules.checks import platform_word
from ecs_gpu_deploy.edges.aws.answers import AwsError
from ecs_gpu_deploy.edges.aws.capacity import fetch_default_strategy, fetch_groups, fetch_providers
from ecs_gpu_deploy.edges.aws.ecs import MOST_TASKS, RawTaskDefinition
from ecs_gpu_deploy.edges.aws.raw_documents import fetch_raw_service
from ecs_gpu_deploy.edges.aws.references import fetch_subnets
from ecs_gpu_deploy.edges.aws.revisions import fetch_tags
from ecs_gpu_deploy.errors import DeployError, InvalidInput
from ecs_gpu_deploy.forecast.begin import CannotBegin, Scene
from ecs_gpu_deploy.forecast.calibration import fitted
from ecs_gpu_deploy.forecast.prediction import Ends, Prediction, predict
from ecs_gpu_deploy.model import Service, TargetGroup, Task, short_id
from ecs_gpu_deploy.result import Finding, PredictedInterval, Severity
from ecs_gpu_deploy.steps.follow_rollout import fetch_target_groups
from ecs_gpu_deploy.steps.see_pulls import see_pulls
from ecs_gpu_deploy.steps.tell_room import (
    is_too_many,
    tell_failing,
    tell_fractions,
    tell_rebalancing,
    tell_unknown_interfaces,
    with_addresses,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What is foreseen. `prediction` is None where what decides cannot be seen, `remedies` have one each.

    `holders` maps who holds GPUs of the cluster to how many. `interval` is None where too little is known of
    earlier rollouts; `calibration` says what the past gave, "" where it was not asked for. `is_certain`: no
    instance here could ever take a new task.
    """

    service: Service
    scene: Scene
    capacity: Capacity
    prediction: Prediction | None
    remedies: tuple[tuple[Remedy, Prediction], ...]
    holders: Mapping[str, int]
    price: Price
    interval: PredictedInterval | None = None
    calibration: str = ""
    is_certain: bool = False


def foresee(
    context: Context,
    service: Service,
    definition: Mapping[str, Any],
    *,
    desired: int,
    current: RawTaskDefinition | None = None,
    gpu_hourly_cost: float | None = None,
    calibration: Calibration | None = None,
) -> Foreseen:
    """Return what is foreseen of *definition* (raw) on *service*; changes nothing.

    What AWS does not show is recorded. *current* is the revision that runs, where it was fetched already;
    *calibration* is what the past tells, where somebody asked for that.
    """
    current = current or context.ecs.fetch_task_definition(service.task_definition)
    definition = with_attributes(definition, current.body)
    narrowed = [definition, current.body]
    unread = [each for one in narrowed for each in unreadable_of(one, service.placement_constraints)]
    definition, body = (without_constraints(one, unread) for one in narrowed)
    service = replace(
        service,
        placement_constraints=tuple(
            each for each in service.placement_constraints if each.get("expression") not in unread
        ),
    )
    requirement = _requirement(definition, service)
    compute = compute_of(
        launch_types=[service.launch_type],
        providers=service.capacity_providers,
        compatibilities=definition.get("requiresCompatibilities") or (),
    )
    look = _Look(context)
    raw = look.at("the service whole", "ecs:DescribeServices", _raw(context, service)) or {}
    subnets: Sequence[SubnetSeen] = ()
    if requirement.network_interfaces and compute.kind in {ComputeKind.INSTANCES, ComputeKind.FARGATE}:
        subnets = _subnets(context, raw, look)
    if compute.kind is ComputeKind.INSTANCES:
        requirement = replace(requirement, zones=tuple(sorted({each.zone for each in subnets} - {""})))
    everyone: Sequence[Task] | None = None
    if compute.kind is ComputeKind.INSTANCES:
        everyone = look.at(
            "the cluster's tasks", "ecs:ListTasks and ecs:DescribeTasks", context.ecs.observe_cluster_tasks
        )
    mine = f"service:{service.name}"
    seen_tasks: Sequence[Task] | None = [task for task in everyone or () if task.group == mine]
    if everyone is None or len(everyone) >= MOST_TASKS:
        seen_tasks = look.at(
            "the service's tasks", "ecs:ListTasks and ecs:DescribeTasks", _tasks(context, service)
        )
    tasks = tuple(seen_tasks or ())
    everyone = everyone or tasks
    groups = fetch_target_groups(context.aws, service)
    told = told_by(current.tags)
    instances: tuple[ContainerInstance, ...] | None = ()
    supplies: tuple[Supply, ...] = ()
    if compute.kind is ComputeKind.INSTANCES:
        instances = look.at(
            "the container instances",
            "ecs:ListContainerInstances and ecs:DescribeContainerInstances",
            context.ecs.observe_instances,
        )
        supplies = _supplies(context, service, look, instances or (), desired)
        if any(each.is_managed_instances for each in supplies):
            # A task definition need not name what it runs on (API Reference, RegisterTaskDefinition).
            compute = replace(compute, kind=ComputeKind.MANAGED_INSTANCES)
    late: Sequence[Task] = ()
    if seen_tasks is not None:
        stopped = look.at(
            "the service's stopped tasks",
            "ecs:ListTasks and ecs:DescribeTasks",
            lambda: context.ecs.observe_stopped_tasks(service.name),
        )
        known = {task.arn for task in tasks}
        late = [task for task in stopped or () if task.arn not in known]
    durations = _durations(context, service, (*tasks, *late), told, calibration)
    pulls = None
    if compute.kind is ComputeKind.INSTANCES:
        pulls = see_pulls(context, definition, (*tasks, *late), platform=_platform(instances or ()))
        durations = _with_pulls(context, durations, pulls, instances or ())
    others = [task for task in everyone if task.group != mine]

    # Those on their way out are listed among the stopped ones, and their room comes by itself.
    held = [*tasks, *(task for task in late if task.last_status != "STOPPED")]
    situation = situation_seen(
        service,
        requirement,
        desired=desired,
        instances=instances or (),
        tasks=held,
        old_requirements=_old_requirements(context, service, held, {service.task_definition: body}),
        others=others,
        supplies=supplies,
        ready_seconds=durations.pull.seconds + durations.start.seconds + durations.load.seconds,
        drain_seconds=durations.stop.seconds + _draining(groups),
        launch_seconds=durations.launch.seconds,
    )
    tell_fractions(context, situation)
    tell_unknown_interfaces(context, situation)
    durations = _warmed(durations, situation)
    situation = replace(situation, launch_seconds=durations.launch.seconds)
    scene = Scene(
        service=service,
        old_definition=body,
        new_definition=definition,
        situation=situation,
        groups=groups,
        durations=durations,
        pulls=pulls,
        on_fargate=compute.kind is ComputeKind.FARGATE,
    )
    is_seen = seen_tasks is not None and instances is not None
    now = context.clock.now()
    failing = failing_of(service, (*tasks, *late), now=now)
    tell_failing(context, failing)
    has_room = _capacity(situation, compute, is_seen=is_seen, unread=unread, failing=failing)
    capacity = with_addresses(context, has_room, subnets, situation, on_fargate=scene.on_fargate)
    if compute.kind is ComputeKind.INSTANCES:
        tell_rebalancing(context, raw, capacity, situation)
    # No place that the model knows of is lacking then.
    is_refused = compute.kind is ComputeKind.FARGATE and capacity.fit is Fit.NEVER
    is_refused |= capacity.fit is not has_room.fit or is_too_many(context, desired)
    prediction, fitted = None, ""
    if capacity.fit is not Fit.UNKNOWN and not is_refused:
        if calibration is not None:
            scene, fitted = _fitted(scene, calibration, now)
        prediction = _predicted(context, scene, now)
    interval = _interval(service, prediction, capacity, told, calibration)
    shortage = None
    if capacity.fit is Fit.NEVER:
        # As deploy reckons while it waits: it does not ask for the zones of subnets.
        shortage = shortage_of(
            replace(requirement, zones=()),
            instances or (),
            compute=compute,
            service=service,
            provisioning=capacity.walk.missing if any(each.managed for each in supplies) else 0,
            old_tasks=tasks,
            other_tasks=others,
        )
    helps = capacity.fit in {Fit.NEVER, Fit.CRAWLS} and prediction is not None
    remedies = remedies_of(situation) if helps else ()
    return Foreseen(
        service=service,
        scene=scene,
        capacity=capacity,
        prediction=prediction,
        remedies=tuple(
            (each, predict(replace(scene, situation=each.situation), now=now)) for each in remedies
        ),
        holders=gpus_held(everyone, {each.arn for each in instances or ()}),
        price=_price(context, situation, gpu_hourly_cost),
        interval=interval,
        is_certain=shortage is not None and shortage.certain,
        calibration=""
        if calibration is None
        else calibration_told(
            calibration, fitted=fitted, name=service.name, has_interval=interval is not None
        ),
    )


def _durations(
    context: Context,
    service: Service,
    tasks: Sequence[Task],
    told: Mapping[str, str],
    calibration: Calibration | None,
) -> Durations:
    """Return how long things take: what the revision that runs does not tell, earlier ones may."""
    found = durations_of(service, tasks, told)
    if calibration is not None:
        return calibrated(found, calibration)
    if not lacks_any(found) or not told:
        return found
    family = short_id(service.task_definition).rpartition(":")[0]
    with suppress(AwsError, DeployError):
        tags = fetch_tags(context.aws) or {}
        own = {arn: about for arn, about in tags.items() if short_id(arn).rpartition(":")[0] == family}
        newest = sorted(own, key=lambda arn: (len(arn), arn), reverse=True)
        return durations_of(service, tasks, told, {arn: own[arn] for arn in newest})
    return found


def _fitted(scene: Scene, calibration: Calibration, now: float) -> tuple[Scene, str]:
    """Return the scene with what whole durations of the past tell, and what that is, "" for nothing."""
    name = to_fit(scene.durations, calibration)
    if not name:
        return scene, ""
    lasted, source = median(calibration.lasted), fitted_source(calibration)
    with suppress(CannotBegin):
        found = fitted(scene, name, lasted=lasted, source=source, now=now)
        return (scene, "") if found is None else (found, name)
    return scene, ""


def _interval(
    service: Service,
    prediction: Prediction | None,
    capacity: Capacity,
    told: Mapping[str, str],
    calibration: Calibration | None,
) -> PredictedInterval | None:
    """Return the interval by what the past tells: without calibration, by what the running revision keeps."""
    if prediction is None or prediction.ends is not Ends.WELL:
        return None
    known = calibration or Calibration(scores=scores_of(told))
    fits = capacity.fit is Fit.FITS
    errors = errors_of(known, prediction.seconds, fits=fits, name=service.name)
    found = interval_of(prediction.seconds, errors.ratios) if errors is not None else None
    if found is None or errors is None:
        return None
    return PredictedInterval(
        low=round(found.low, 1),
        high=round(found.high, 1),
        middle=round(found.middle, 1),
        level=round(found.level, 3),
        within=found.within,
        rollouts=found.rollouts,
        source=errors.source,
    )


def _predicted(context: Context, scene: Scene, now: float) -> Prediction | None:
    """Return what comes; None, and recorded, where what AWS shows does not go together."""
    try:
        return predict(scene, now=now)
    except CannotBegin:
        context.record(
            Finding(
                code="not-checked",
                severity=Severity.WARNING,
                message="Not checked: how long it takes. What the running tasks ask for differs from what "
                "their instances show as taken, as while another deployment is on its way.",
                hint="Plan again once the service is steady.",
            )
        )
        return None


class _Look:
    """Look at what a permission may be lacking for: what is unseen is recorded, and nothing fails."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def at(self, what: str, permissions: str, ask: Callable[[], T]) -> T | None:
        """Return what is asked for; None where AWS does not show it."""
        try:
            return ask()
        except (AwsError, DeployError) as error:
            self._context.record(
                Finding(
                    code="not-checked",
                    severity=Severity.WARNING,
                    message=f"Not checked: AWS does not show us {what}: {str(error).rstrip('.')}.",
                    hint=f"Allow {permissions}.",
                )
            )
            return None


def _tasks(context: Context, service: Service) -> Callable[[], tuple[Task, ...]]:
    return lambda: context.ecs.observe_tasks(service.name, with_stopped=False).tasks


def _with_pulls(
    context: Context, durations: Durations, pulls: Pulls | None, instances: Sequence[ContainerInstance]
) -> Durations:
    """Return the durations with the pull that the images' layers tell; where they cannot be read, say so."""
    if pulls is not None:
        usable = [each.arn for each in instances if each.status in {"ACTIVE", ""}]
        return replace(durations, pull=pulls.duration(usable))
    context.record(
        Finding(
            code="not-checked",
            severity=Severity.INFO,
            message="Not checked: which layers of the image the instances have already. Each pull is taken "
            "to last as long as those before.",
            hint="Allow ecr:BatchGetImage on the repository; of images outside Amazon ECR it is not known.",
        )
    )
    return durations


def _platform(instances: Sequence[ContainerInstance]) -> str:
    """Return the platform of the first instance that names one; what most run where there is none."""
    told = (each.room.attributes.get("ecs.cpu-architecture") for each in instances)
    return f"linux/{platform_word(next((each for each in told if each), 'x86_64'))}"


def _requirement(definition: Mapping[str, Any], service: Service) -> Requirement:
    try:
        return requirement_of(definition, constraints=service.placement_constraints)
    except ValueError as error:
        raise InvalidInput(str(error), hint="Correct the task definition.") from error


def _raw(context: Context, service: Service) -> Callable[[], Mapping[str, Any] | None]:
    cluster = context.ecs.of(service.name).cluster
    return lambda: fetch_raw_service(context.aws, cluster, service.name)


def _subnets(context: Context, service: Mapping[str, Any], look: _Look) -> Sequence[SubnetSeen]:
    """Return the subnets in which tasks of a raw service may run; () where they are not shown."""
    named = subnets_of(service)
    if not named:
        return ()
    seen = look.at(
        "in which Availability Zones the service's subnets lie, so each is taken for one of them, and how "
        "many IP addresses are free there",
        "ec2:DescribeSubnets",
        lambda: fetch_subnets(context.aws, named),
    )
    return seen or ()


def _warmed(durations: Durations, situation: Situation) -> Durations:
    """Return the durations with a shorter launch where warm pools have every instance that is launched."""
    launched = walk(situation).launched
    pools = [supply for supply in situation.supplies if launched.get(supply.name)]
    if not pools or any(launched[supply.name] > supply.warm for supply in pools):
        return durations
    return warmed(durations, sum(supply.warm for supply in pools), pools[0].warm_state)


def _old_requirements(
    context: Context, service: Service, tasks: Sequence[Task], known: Mapping[str, Mapping[str, Any]]
) -> dict[str, Requirement]:
    """Return what a task of each revision takes that tasks of the service run, by its ARN.

    There are several while another deployment is on its way. One that cannot be seen is left out.
    """
    found = {arn: _requirement(body, service) for arn, body in known.items()}
    for arn in dict.fromkeys(task.task_definition_arn for task in tasks):
        if arn and arn not in found:
            with suppress(AwsError, DeployError):
                body = context.ecs.fetch_task_definition(arn).body
                unread = unreadable_of(body, ())
                found[arn] = _requirement(without_constraints(body, unread), service)
    return found


def _supplies(
    context: Context,
    service: Service,
    look: _Look,
    instances: Sequence[ContainerInstance],
    desired: int,
) -> tuple[Supply, ...]:
    """Return the capacity providers of the service, or those that the cluster uses by itself."""
    strategy = service.capacity_provider_strategy
    # A DAEMON goes to every instance that the cluster has, and none is launched for it.
    is_daemon = service.scheduling_strategy == "DAEMON"
    if is_daemon or (not strategy and service.launch_type):
        return ()
    if not strategy:
        strategy = (
            look.at(
                "the cluster's default strategy",
                "ecs:DescribeClusters",
                lambda: fetch_default_strategy(context.aws, service.cluster_arn),
            )
            or ()
        )
    names = [str(item.get("capacityProvider") or "") for item in strategy]
    if not names:
        return ()
    seen = look.at(
        "the capacity providers",
        "ecs:DescribeCapacityProviders",
        lambda: fetch_providers(context.aws, names),
    )
    groups: Mapping[str, GroupSeen] | None = None
    if wanted := [each.group for each in (seen or {}).values() if each.group]:
        groups = look.at(
            "how far the Auto Scaling group may grow",
            "autoscaling:DescribeAutoScalingGroups",
            lambda: fetch_groups(context.aws, wanted),
        )
    return supplies_of(strategy, seen, groups, instances, most=2 * desired)


def _draining(groups: Sequence[TargetGroup]) -> float:
    return max((group.deregistration_delay for group in groups), default=0.0)


def _capacity(
    situation: Situation,
    compute: Compute,
    *,
    is_seen: bool,
    unread: Sequence[str],
    failing: Failing | None = None,
) -> Capacity:
    found = capacity_of(situation)
    kinds = {request.kind for _, request in situation.requirement.gpus}
    blind = [each.name for each in situation.supplies if each.managed and each.fresh is None and each.more]
    if compute.kind is ComputeKind.FARGATE and situation.requirement.gpus:
        return replace(found, fit=Fit.NEVER, why="The task asks for a GPU, and Fargate has none.")
    if compute.kind is ComputeKind.FARGATE:
        return replace(
            found, fit=Fit.FITS, why=f"AWS finds the room {compute.place}: nothing here limits it."
        )
    if compute.kind is ComputeKind.MANAGED_INSTANCES:
        return replace(found, fit=Fit.UNKNOWN, why=f"ECS chooses and launches the instances {compute.place}.")
    if not is_seen:
        return replace(found, fit=Fit.UNKNOWN, why="What runs on which instance cannot be seen.")
    if GpuKind.MPS in kinds and situation.pool and not any(each.room.gpu_memory for each in situation.pool):
        why = "AWS shows the memory of no GPU here (gpuDevices), which a share by MPS is taken from."
        return replace(found, fit=Fit.UNKNOWN, why=why)
    if found.fit is Fit.NEVER and found.walk.lacked_room and blind:
        why = f"No instance shows what one more of {blind[0]} would bring."
        return replace(found, fit=Fit.UNKNOWN, why=why)
    unseen = [each.name for each in situation.supplies if not each.is_seen]
    if found.fit is Fit.NEVER and found.walk.lacked_room and unseen:
        why = f"Whether the capacity provider {unseen[0]} launches instances cannot be seen."
        return replace(found, fit=Fit.UNKNOWN, why=why)
    if found.fit is Fit.NEVER and failing is not None and situation.old:
        freed = situation.with_limits(minimum=0, maximum=max(100, situation.maximum))
        if fit_of(walk(freed)) is not Fit.NEVER:
            why = f"{failing.message}: what they hold comes free as they end, and who gets it AWS decides."
            return replace(found, fit=Fit.UNKNOWN, why=why)
    if found.fit is not Fit.NEVER and unread:
        why = f"Which instances meet the placement constraint {unread[0]!r} is not reckoned here."
        return replace(found, fit=Fit.UNKNOWN, why=why)
    return found


def _price(context: Context, situation: Situation, given: float | None) -> Price:
    kinds = [(place.instance_type, place.whole or place.room) for place in situation.pool]
    kinds += [(each.instance_type, each.fresh) for each in situation.supplies if each.fresh is not None]
    kind, room = next(((kind, room) for kind, room in kinds if room.gpu_capacity), ("", None))
    gpus = float(len(room.gpu_capacity)) if room is not None else 0.0
    return price_for(kind, context.aws.region, gpus, given=given)
