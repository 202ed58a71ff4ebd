"""Generated rollouts for the model of ECS: what is asked, what there is, who else is there, who scales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st
from scheduler_world import ONE_GPU, World, cluster, newest, service_config

from ecs_gpu_deploy.core.capacity.fit import requirement_of
from ecs_gpu_deploy.core.capacity.percents import limits_for
from ecs_gpu_deploy.core.capacity.situation import OldTask, Place, Situation, Supply
from ecs_gpu_deploy.core.past.durations import Duration, Durations
from ecs_gpu_deploy.ecs_model import ContainerScript, Scheduler
from ecs_gpu_deploy.ecs_model.health import healthy_after, target_rule
from ecs_gpu_deploy.ecs_model.scaling import room_of_template
from ecs_gpu_deploy.ecs_model.state import CapacityProvider, Service
from ecs_gpu_deploy.forecast.begin import Scene
from ecs_gpu_deploy.model import Service as SeenService
from ecs_gpu_deploy.model import ServiceDeploymentStatus

UPDATE_AT = 2000.0
LONGEST = 6 * 3600.0
LAYERS = (("base", 1_000_000_000),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One rollout: `gpus` a new task asks, on instances of `each` GPUs; `others` hold one GPU each."""

    desired: int
    minimum: int
    maximum: int
    each: int
    gpus: int
    old_gpus: int
    spare: int
    others: int
    strategy: str
    managed: bool
    more: int
    load: float
    awsvpc: bool
    port: int
    packed: bool


PLAIN = Case(
    desired=2,
    minimum=100,
    maximum=200,
    each=1,
    gpus=1,
    old_gpus=1,
    spare=1,
    others=0,
    strategy="ROLLING",
    managed=False,
    more=0,
    load=95.0,
    awsvpc=False,
    port=0,
    packed=False,
)
"""Two tasks with a GPU each, and a spare one."""
CASES = st.builds(
    Case,
    desired=st.integers(1, 6),
    minimum=st.sampled_from([0, 50, 75, 100, 100]),
    maximum=st.sampled_from([100, 125, 150, 200, 200]),
    each=st.sampled_from([1, 1, 2, 4]),
    gpus=st.sampled_from([1, 1, 1, 2, 4]),
    old_gpus=st.sampled_from([1, 1, 2]),
    spare=st.integers(0, 4),
    others=st.integers(0, 3),
    strategy=st.sampled_from(["ROLLING"] * 5 + ["BLUE_GREEN"]),
    managed=st.booleans(),
    more=st.integers(0, 4),
    load=st.sampled_from([60.0, 95.0, 240.0, 600.0]),
    awsvpc=st.booleans(),
    port=st.sampled_from([0, 0, 0, 8000]),
    packed=st.booleans(),
)


class Tagged(World):
    """A world whose task definitions differ by tag: old and new of the service, and what others run."""

    def __init__(self, case: Case) -> None:
        script = ContainerScript(image_digest="sha256:x", load_seconds=case.load, layers=LAYERS)
        new = replace(script, image_digest="sha256:y", layers=(("model", 1_000_000_000),))
        super().__init__(old=script, new=new, other=ContainerScript(layers=LAYERS, load_seconds=1.0))
        self.case = case

    def task_definition(self, arn: str) -> Mapping[str, Any]:
        case = self.case
        tag = arn.rpartition("/")[2].partition(":")[0]
        gpus = {"old": case.old_gpus, "new": case.gpus, "other": 1}[tag]
        port = 0 if tag == "other" else case.port
        container = {
            "name": "rag",
            "image": tag,
            "cpu": 512,
            "memory": 2000,
            "portMappings": [{"containerPort": 8000, "hostPort": port}],
            "resourceRequirements": [{"type": "GPU", "value": str(gpus)}],
        }
        mode = {"networkMode": "awsvpc"} if case.awsvpc and tag != "other" else {}
        return {"family": tag, "taskDefinitionArn": arn, "containerDefinitions": [container], **mode}


def begun(case: Case) -> tuple[Scheduler, Service] | None:
    """Return the world with the old revision steady; None where even that does not fit."""
    template = replace(ONE_GPU, gpus=case.each, cpu=48_000, memory=180_000)
    scheduler = cluster(Tagged(case))
    # As few instances as the old revision takes, and the spare ones.
    per = case.each // case.old_gpus
    if not per or (case.port and not case.awsvpc and case.each > case.old_gpus):
        per = 1 if per else 0
    if not per:
        return None
    number = -(-case.desired // per) + case.spare
    name = "gpu" if case.managed else None
    if case.managed:
        provider = CapacityProvider(name="gpu", template=template, max_size=number + case.more)
        provider.scale_in_after = 1e9
        scheduler.put_capacity_provider(provider, 0.0)
    for _ in range(number):
        scheduler.add_instance(template, now=0.0, capacity_provider=name)
    configuration: dict[str, Any] = {"strategy": case.strategy, "bakeTimeInMinutes": 1}
    if case.strategy == "ROLLING":
        configuration = {}
    config = service_config(
        desired=case.desired,
        minimum=case.minimum,
        maximum=case.maximum,
        grace=int(case.load) + 60,
        image="old",
        breaker={"enable": False},
        configuration=configuration,
    )
    if case.packed:
        config["placementStrategy"] = [{"type": "binpack", "field": "memory"}]
    if case.managed:
        del config["launchType"]
        config["capacityProviderStrategy"] = [{"capacityProvider": "gpu", "weight": 1}]
    service = scheduler.create_service(config, 0.0)
    scheduler.advance(1500.0)
    if not service.steady:
        return None
    for _ in range(case.others):
        scheduler.run_task({"taskDefinition": "other"}, 1500.0)
    scheduler.advance(UPDATE_AT)
    return scheduler, service


def situation_of(case: Case, scheduler: Scheduler, service: Service) -> Situation:
    """Read what the model holds as what decides about room."""
    world = Tagged(case)
    supplies = []
    for provider in scheduler.capacity_providers.values():
        size = sum(each.capacity_provider == provider.name for each in scheduler.instances.values())
        supplies.append(
            Supply(
                name=provider.name,
                managed=provider.managed_scaling,
                fresh=room_of_template(provider.template),
                more=max(0, provider.max_size - size),
            )
        )
    return Situation(
        limits=limits_for(case.desired, minimum=case.minimum, maximum=case.maximum),
        minimum=case.minimum,
        maximum=case.maximum,
        requirement=requirement_of(world.task_definition("new")),
        places=[
            Place(
                arn=each.arn,
                room=each.room,
                zone=each.availability_zone,
                provider=each.capacity_provider or "",
                tasks=len(each.tasks),
            )
            for each in scheduler.instances.values()
        ],
        old=[
            OldTask(
                arn=task.arn,
                place=task.instance_arn or "",
                allocation=task.allocation,
                created_at=task.created_at,
            )
            for each in service.deployments
            for task in each.tasks.values()
        ],
        supplies=supplies,
        staged=case.strategy != "ROLLING",
        placement=tuple(service.config.get("placementStrategy") or ()),
        ready_seconds=case.load + 25.0,
        drain_seconds=32.0,
    )


def scene_of(case: Case, scheduler: Scheduler, service: Service) -> Scene:
    """Read the world as `plan` does, with the durations that its tasks will show."""
    tagged = Tagged(case)
    seen = seen_service(service)
    return Scene(
        service=seen,
        old_definition=tagged.task_definition("old"),
        new_definition=tagged.task_definition("new"),
        situation=situation_of(case, scheduler, service),
        groups=(tagged.group,),
        durations=Durations(
            pull=Duration(seconds=10.0, source="known"),
            start=Duration(seconds=3.0, source="known"),
            load=Duration(seconds=healthy_after([target_rule(tagged.group)], case.load), source="known"),
            stop=Duration(seconds=1.0, source="known"),
            launch=Duration(seconds=180.0, source="known"),
        ),
    )


def seen_service(service: Service) -> SeenService:
    """Return the service as DescribeServices shows it."""
    config = service.config
    return SeenService.from_api(
        {
            "serviceArn": service.arn,
            "serviceName": service.name,
            "clusterArn": service.cluster_arn,
            "status": "ACTIVE",
            "desiredCount": service.desired_count,
            "runningCount": service.running_count,
            **{
                key: config[key]
                for key in (
                    "taskDefinition",
                    "deploymentConfiguration",
                    "healthCheckGracePeriodSeconds",
                    "loadBalancers",
                    "placementStrategy",
                    "placementConstraints",
                )
                if key in config
            },
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the model did: did it end, when, did a task lack room, how many instances came."""

    ended: bool
    seconds: float
    lacked_room: bool
    launched: int


def rolled_out(scheduler: Scheduler, service: Service) -> Outcome:
    """Send the new revision and let the model run until the deployment ends, or nothing more can come."""
    before = set(scheduler.instances)
    scheduler.update_service("api", {"taskDefinition": "new", "forceNewDeployment": True}, scheduler.now)
    began = scheduler.now
    lacked = False
    record = newest(scheduler, service)
    while (due := scheduler.next_due()) is not None and due <= began + LONGEST:
        scheduler.advance(due)
        lacked = lacked or service.primary.placement_blocked
        lacked = lacked or any(
            task.last_status == "PROVISIONING" and not task.instance_arn
            for task in service.primary.tasks.values()
        )
        if record.status.is_terminal:
            break
    return Outcome(
        ended=record.status is ServiceDeploymentStatus.SUCCESSFUL,
        seconds=(record.finished_at or scheduler.now) - began,
        lacked_room=lacked,
        launched=len(set(scheduler.instances) - before)
        + sum(each.launching for each in scheduler.capacity_providers.values()),
    )
