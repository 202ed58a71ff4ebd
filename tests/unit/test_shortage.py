"""Why no task finds a place: each answer, by what the instances have and hold."""

from dataclasses import replace
from pathlib import Path

import pytest

from ecs_gpu_deploy.core.capacity.compute import Compute, ComputeKind, capacity_words, compute_of
from ecs_gpu_deploy.core.capacity.container_instance import ContainerInstance
from ecs_gpu_deploy.core.capacity.fit import requirement_of
from ecs_gpu_deploy.core.capacity.holders import held_by
from ecs_gpu_deploy.core.capacity.shortage import Answer, shortage_of
from ecs_gpu_deploy.model import CircuitBreaker, Container, Service, Task


def definition(gpus="1", memory=8192, cpu=2048):
    gpu = {"resourceRequirements": [{"type": "GPU", "value": gpus}]} if gpus else {}
    return {"containerDefinitions": [{"name": "rag", "memory": memory, "cpu": cpu, **gpu}]}


def instance(number, *, gpus=1, free=None, memory=16000, cpu=4096, **rest):
    ids = [f"GPU-{number}-{n}" for n in range(gpus)]
    free = gpus if free is None else free

    def resources(cpu, memory, some):
        return [
            {"name": "CPU", "type": "INTEGER", "integerValue": cpu},
            {"name": "MEMORY", "type": "INTEGER", "integerValue": memory},
            {"name": "GPU", "type": "STRINGSET", "stringSetValue": some},
        ]

    used = gpus - free
    return ContainerInstance.from_api(
        {
            "containerInstanceArn": f"arn:ci/{number}",
            "ec2InstanceId": f"i-{number}",
            "status": "ACTIVE",
            "agentConnected": True,
            "attributes": [{"name": "ecs.instance-type", "value": "g5.xlarge"}],
            "registeredResources": resources(cpu, memory, ids),
            "remainingResources": resources(cpu - 2048 * used, memory - 8192 * used, ids[used:]),
            **rest,
        }
    )


def old_task(number, gpu):
    container = Container(name="rag", gpu_ids=(gpu,))
    return Task(
        arn=f"arn:t/{number}",
        container_instance_arn=f"arn:ci/{number}",
        last_status="RUNNING",
        containers=(container,),
    )


def service(*, desired=2, minimum=100, providers=(), breaker=True):
    return Service(
        arn="arn:s",
        name="s",
        cluster_arn="arn:c",
        status="ACTIVE",
        task_definition="f:1",
        desired_count=desired,
        running_count=desired,
        pending_count=0,
        deployments=(),
        events=(),
        capacity_providers=providers,
        minimum_healthy_percent=minimum,
        circuit_breaker=CircuitBreaker(enable=breaker, rollback=breaker),
    )


FULL = (instance(0, free=0), instance(1, free=0))
OLD = (old_task(0, "GPU-0-0"), old_task(1, "GPU-1-0"))


def answer(requirement, instances, *, of=None, **rest):
    of = of or service()
    compute = compute_of(providers=of.capacity_providers)
    return shortage_of(requirement_of(requirement), instances, compute=compute, service=of, **rest)


def test_an_instance_with_room_is_no_shortage():
    assert answer(definition(), (instance(0),)) is None


def test_our_own_old_tasks_hold_the_gpus_and_100_percent_keeps_them():
    found = answer(definition(), FULL, old_tasks=OLD)
    assert found.answer == Answer.OWN_TASKS
    assert found.code == "gpu-capacity"
    assert not found.certain
    assert "50 lets one old task go first" in found.hint


@pytest.mark.parametrize(("desired", "percent"), [(1, 0), (2, 50), (3, 66), (4, 75)])
def test_the_percent_in_the_hint_really_frees_one_task(desired, percent):
    found = answer(definition(), FULL, of=service(desired=desired), old_tasks=OLD)
    assert f"({percent} lets one" in found.hint
    assert -(-desired * percent // 100) == desired - 1


def test_blue_green_keeps_the_old_tasks_whatever_the_percentages_say():
    found = answer(definition(), FULL, of=replace(service(minimum=50), strategy="BLUE_GREEN"), old_tasks=OLD)
    assert "BLUE_GREEN keeps all of them" in found.message
    assert found.hint.startswith("Have 2 GPUs spare")
    assert "minimumHealthyPercent" not in found.message + found.hint


def test_one_task_on_an_instance_is_why_free_gpus_take_no_second_one():
    alone = replace(service(), placement_constraints=({"type": "distinctInstance"},))
    two = (instance(0), instance(1))
    found = answer(definition(), two, of=alone, old_tasks=OLD)
    assert (found.answer, found.code, found.certain) == (Answer.OWN_TASKS, "missing-attribute", False)
    assert "distinctInstance" in found.message
    assert "50 lets one old task go first" in found.hint
    assert (
        "lets one"
        not in answer(definition(), two, of=replace(alone, minimum_healthy_percent=50), old_tasks=OLD).hint
    )
    assert answer(definition(), two, of=alone, old_tasks=OLD[:1]) is None
    assert answer(definition(), two, of=alone, old_tasks=OLD[:1], new_tasks=OLD[1:]) == found
    assert answer(definition(), two, old_tasks=OLD) is None


def test_where_the_percentages_allow_it_ecs_makes_room_itself():
    found = answer(definition(), FULL, of=service(minimum=50), old_tasks=OLD)
    assert found.answer == Answer.OWN_TASKS
    assert "ECS stops one" in found.note


def test_other_tasks_that_hold_the_gpus_are_not_ours():
    assert answer(definition(), FULL).answer == Answer.OTHERS


def test_gpus_are_counted_on_one_instance_and_not_over_all():
    found = answer(definition(gpus="2"), (instance(0), instance(1)))
    assert found.answer == Answer.IMPOSSIBLE
    assert found.certain
    assert "wants 2 GPUs on one instance" in found.message


def test_what_is_impossible_here_may_still_come_where_a_provider_scales_out():
    found = answer(
        definition(gpus="2"),
        (instance(0, capacityProviderName="gpu"),),
        of=service(providers=("gpu",)),
        provisioning=1,
    )
    assert found.answer == Answer.IMPOSSIBLE
    assert not found.certain


def test_more_gpus_than_ec2_has_is_certain_whatever_scales():
    assert answer(definition(gpus="17"), (), of=service(providers=("gpu",)), provisioning=1).certain


@pytest.mark.parametrize(
    ("wants", "code"),
    [
        pytest.param(definition(memory=64000), "memory-capacity", id="memory"),
        pytest.param(definition(cpu=64000), "cpu-capacity", id="cpu"),
    ],
)
def test_what_even_an_empty_instance_lacks_is_named(wants, code):
    found = answer(wants, FULL)
    assert (found.answer, found.code) == (Answer.IMPOSSIBLE, code)


def _constrained(*, expression=None, attribute=None):
    own = definition()
    if expression:
        own = {**own, "placementConstraints": [{"type": "memberOf", "expression": expression}]}
    return {**own, "requiresAttributes": [attribute]} if attribute else own


@pytest.mark.parametrize(
    ("asks", "named"),
    [
        ({"expression": "attribute:ecs.instance-type =~ g4dn.*"}, "attribute:ecs.instance-type =~ g4dn.*"),
        ({"attribute": {"name": "tier", "value": "gold"}}, "tier=gold"),
        ({"attribute": {"name": "ecs.capability.nvidia-driver"}}, "ecs.capability.nvidia-driver"),
    ],
    ids=["a memberOf expression", "a custom attribute", "a capability that the agents lack"],
)
@pytest.mark.parametrize("free", [0, 1], ids=["GPUs taken", "GPUs free"])
def test_what_no_instance_will_ever_meet_is_named_and_never_called_taken_gpus(asks, named, free):
    attributes = [
        {"name": "ecs.instance-type", "value": "g5.xlarge"},
        {"name": "ecs.capability.task-eni"},
    ]
    pool = tuple(instance(number, free=free, attributes=attributes) for number in (0, 1))
    found = answer(_constrained(**asks), pool, old_tasks=OLD)
    assert (found.answer, found.code, found.certain) == (Answer.IMPOSSIBLE, "missing-attribute", True)
    assert named in found.message
    assert "g5.xlarge" in found.message


def test_a_constraint_that_one_instance_meets_is_waited_for():
    wanted = {"expression": "attribute:ecs.instance-type == g5.2xlarge"}
    pool = tuple(
        instance(number, free=0, attributes=[{"name": "ecs.instance-type", "value": kind}])
        for number, kind in enumerate(("g5.xlarge", "g5.2xlarge"))
    )
    assert not answer(_constrained(**wanted), pool).certain


def test_a_scale_out_is_waited_for_and_the_breakers_risk_said():
    found = answer(definition(), FULL, of=service(providers=("gpu",)), provisioning=2)
    assert found.answer == Answer.SCALING
    assert "circuit breaker (threshold 3)" in found.note
    without = answer(definition(), FULL, of=service(providers=("gpu",), breaker=False), provisioning=2)
    assert "circuit breaker" not in without.note


def test_instances_of_another_capacity_provider_do_not_count():
    other = instance(0, capacityProviderName="cpu")
    assert answer(definition(), (other,), of=service(providers=("gpu",))).answer == Answer.NO_INSTANCES


def test_draining_instances_do_not_count():
    assert answer(definition(), (instance(0, status="DRAINING"),)).answer == Answer.NO_INSTANCES


def test_agents_that_do_not_answer_are_named():
    found = answer(definition(), (instance(0, agentConnected=False),))
    assert (found.answer, found.code) == (Answer.DISCONNECTED, "agent-disconnected")


def test_an_impaired_gpu_is_read_from_the_instances_health():
    details = [{"type": "ACCELERATED_COMPUTE", "status": "IMPAIRED"}, {"type": "DAEMON", "status": "OK"}]
    assert instance(0, healthStatus={"details": details}).impaired == ("ACCELERATED_COMPUTE",)


ANSWERS = {
    "blocked by our own tasks": lambda: answer(definition(), FULL, old_tasks=OLD),
    "blocked by our own tasks, without GPUs": lambda: answer(
        definition(gpus=None, memory=12000), FULL, old_tasks=OLD
    ),
    "our own tasks may go": lambda: answer(definition(), FULL, of=service(minimum=50), old_tasks=OLD),
    "others hold the GPUs": lambda: answer(
        definition(gpus="2"), (instance(0, gpus=2, free=1), instance(1, gpus=4, free=1))
    ),
    "others hold the memory": lambda: answer(definition(gpus=None, memory=12000), FULL),
    "no instance is large enough": lambda: answer(
        definition(gpus="4"), (instance(0), instance(1, gpus=2), instance(2))
    ),
    "no instance has the memory": lambda: answer(
        definition(memory=64000), (instance(0), instance(1, memory=20000, attributes=()))
    ),
    "no instance has the CPU, but more may come": lambda: answer(
        definition(cpu=64000), FULL, of=service(), provisioning=1
    ),
    "EC2 has no such instance": lambda: answer(definition(gpus="17"), ()),
    "scaling, with a breaker": lambda: answer(
        definition(), FULL, of=service(providers=("gpu", "spot")), provisioning=2
    ),
    "scaling, of the cluster's own providers": lambda: answer(
        definition(), (), of=service(breaker=False), provisioning=1
    ),
    "no instances in the cluster": lambda: answer(definition(), ()),
    "no instances of the providers": lambda: answer(definition(), (), of=service(providers=("gpu", "spot"))),
    "no agent answers": lambda: answer(
        definition(), [instance(number, agentConnected=False) for number in range(2)]
    ),
}
GOLDEN = (Path(__file__).parent / "golden" / "shortages.txt").read_text(encoding="utf-8")


def test_the_words_for_each_answer():
    found = [(name, ask()) for name, ask in ANSWERS.items()]
    shown = [f"# {name}\n{each.note}\n{each.message}\n{each.hint}\n" for name, each in found]
    assert "\n".join(shown) == GOLDEN


@pytest.mark.parametrize(
    ("name", "of", "code", "certain"),
    [
        ("EC2 has no such instance", Answer.IMPOSSIBLE, "gpu-capacity", True),
        ("no instance has the memory", Answer.IMPOSSIBLE, "memory-capacity", True),
        ("no instance has the CPU, but more may come", Answer.IMPOSSIBLE, "cpu-capacity", False),
        ("scaling, of the cluster's own providers", Answer.SCALING, "gpu-capacity", False),
        ("no instances in the cluster", Answer.NO_INSTANCES, "no-instances", False),
        ("others hold the GPUs", Answer.OTHERS, "gpu-capacity", False),
        ("others hold the memory", Answer.OTHERS, "memory-capacity", False),
        ("our own tasks may go", Answer.OWN_TASKS, "gpu-capacity", False),
        ("blocked by our own tasks, without GPUs", Answer.OWN_TASKS, "memory-capacity", False),
    ],
)
def test_each_answer_has_its_code_and_says_whether_waiting_can_help(name, of, code, certain):
    found = ANSWERS[name]()
    assert (found.answer, found.code, found.certain) == (of, code, certain)


def test_a_scale_out_without_gpus_waits_for_ec2():
    assert answer(definition(gpus=None), (), provisioning=1).code == "ec2-capacity"


def test_sixteen_gpus_are_not_beyond_ec2():
    assert answer(definition(gpus="16"), (), provisioning=1).answer == Answer.SCALING


def ports(*numbers):
    mappings = [{"containerPort": number, "hostPort": number} for number in numbers]
    return {"containerDefinitions": [{"name": "rag", "memory": 10, "cpu": 10, "portMappings": mappings}]}


@pytest.mark.parametrize(
    ("wants", "given", "code", "word"),
    [
        pytest.param(ports(22), {"ports": [22]}, "port-conflict", "the host port", id="a host port"),
        pytest.param(definition(gpus=None, cpu=4000), {"cpu": 4096}, "cpu-capacity", "CPU units", id="CPU"),
    ],
)
def test_what_only_others_or_the_instance_itself_keep_from_a_task_is_named(wants, given, code, word):
    used = [
        {"name": "PORTS", "type": "STRINGSET", "stringSetValue": [str(n) for n in given.get("ports", ())]}
    ]
    free = [
        {"name": "CPU", "type": "INTEGER", "integerValue": given.get("cpu", 4096) - 100},
        {"name": "MEMORY", "type": "INTEGER", "integerValue": 16000},
        *used,
    ]
    found = answer(wants, (instance(0, remainingResources=free),))
    assert (found.answer, found.code) == (Answer.OTHERS, code)
    assert found.note == f"no instance has {word} free for it: other tasks hold them"


def test_the_task_that_only_lost_instances_held_makes_no_room():
    elsewhere = (old_task(7, "GPU-7-0"), old_task(8, "GPU-8-0"))
    assert answer(definition(), FULL, old_tasks=elsewhere).answer == Answer.OTHERS


def test_only_old_tasks_on_the_services_own_instances_are_counted():
    found = answer(definition(), FULL, old_tasks=(*OLD, old_task(9, "GPU-9-0")))
    assert found.note.startswith("blocked by our own old tasks: 2 old tasks of this service")


def test_the_room_that_old_tasks_would_leave_is_only_imagined():
    before = [instance(number, free=0).room for number in range(2)]
    answer(definition(), FULL, old_tasks=OLD)
    assert [each.room for each in FULL] == before


def test_any_old_task_of_an_instance_may_be_the_one_that_makes_room():
    assert answer(definition(), FULL, old_tasks=(old_task(7, "GPU-7-0"), OLD[1])).answer == Answer.OWN_TASKS


def test_room_that_is_free_adds_to_what_an_old_task_leaves():
    half = [{"name": "MEMORY", "integerValue": 3000}, {"name": "CPU", "integerValue": 1000}]
    large = instance(0, gpus=0, remainingResources=half)
    wants = definition(gpus=None, memory=8192, cpu=2048)
    old = (old_task(0, "GPU-0-0"),)
    assert answer(wants, (large,), old_tasks=old).answer == Answer.OWN_TASKS
    assert large.room.memory == 3000


def test_an_old_task_that_goes_makes_room_for_one_of_its_size_only():
    half = instance(0, gpus=0, memory=16000, remainingResources=[{"name": "MEMORY", "integerValue": 0}])
    small = (old_task(0, "GPU-0-0"),)
    wants = definition(gpus=None, memory=8192, cpu=0)
    assert answer(wants, (half,), old_tasks=small).answer == Answer.OWN_TASKS


@pytest.mark.parametrize("status", ["REGISTERING", ""])
def test_an_instance_that_is_only_coming_takes_no_task_but_is_one(status):
    assert answer(definition(), (instance(0, status=status),)).answer == Answer.OTHERS


def test_one_silent_agent_beside_a_full_instance_is_not_why():
    found = answer(definition(), (instance(0, agentConnected=False), instance(1, free=0)))
    assert found.answer == Answer.OTHERS


def test_an_instance_with_room_that_takes_no_task_is_named():
    draining = instance(2, status="DRAINING")
    silent = instance(3, agentConnected=False)
    found = answer(definition(), (*FULL, draining, silent), old_tasks=OLD)
    assert found.answer == Answer.OWN_TASKS
    assert found.message.endswith(
        f" No task goes to 1 instance with room while draining: {draining.id}."
        f" No task goes to 1 instance with room while no ECS agent answers there: {silent.id}."
    )
    full = instance(2, free=0, status="DRAINING")
    assert "draining" not in answer(definition(), (*FULL, full), old_tasks=OLD).message


def test_who_else_holds_gpus_is_named():
    def held(number, group, *gpus, **more):
        container = Container(name="c", gpu_ids=gpus)
        given = {"last_status": "RUNNING", "container_instance_arn": FULL[number].arn, **more}
        return Task(arn=f"arn:x/{group}{gpus}", group=group, containers=(container,), **given)

    tasks = (
        held(0, "service:embedder", "GPU-0-0"),
        held(1, "service:embedder", "GPU-1-0"),
        held(1, "family:nightly", "GPU-1-1"),
        held(0, "service:gone", "GPU-0-1", last_status="STOPPING"),
        held(0, "service:elsewhere", "GPU-9-0", container_instance_arn="arn:other"),
        held(0, "service:without"),
    )
    found = answer(definition(), FULL, other_tasks=tasks)
    assert found.message.endswith(" Others hold GPUs here: embedder (2 GPUs), family nightly (1 GPU).")
    assert "Others" not in answer(definition(gpus=None, memory=10**6), FULL, other_tasks=tasks).message


def test_three_holders_are_named_and_the_others_counted():
    assert held_by({"a": 4, "b": 3, "c": 1, "d": 1, "e": 1}) == "a (4 GPUs), b (3 GPUs), c (1 GPU), 2 others"
    assert held_by({}) == ""


def test_a_batch_has_no_old_tasks_and_no_breaker():
    requirement = requirement_of(definition())
    full = shortage_of(requirement, FULL, compute=Compute(), old_tasks=OLD)
    assert full.answer == Answer.OTHERS
    scaling = shortage_of(requirement, (), compute=Compute(capacity_providers=("gpus",)), provisioning=2)
    assert scaling.message.startswith("2 tasks waited in PROVISIONING for gpus to launch an instance")
    assert "breaker" not in scaling.message


@pytest.mark.parametrize(
    ("launch_types", "providers", "compatibilities", "kind", "place"),
    [
        ((), (), (), ComputeKind.INSTANCES, "in the cluster"),
        (("EC2",), (), ("EC2", "FARGATE"), ComputeKind.INSTANCES, "in the cluster"),
        ((), ("gpus",), ("EC2",), ComputeKind.INSTANCES, "in the capacity provider gpus"),
        (("FARGATE",), (), (), ComputeKind.FARGATE, "on Fargate"),
        ((), (), ("FARGATE",), ComputeKind.FARGATE, "on Fargate"),
        (("",), ("FARGATE_SPOT",), ("FARGATE",), ComputeKind.FARGATE, "on Fargate Spot"),
        ((), ("FARGATE", "FARGATE_SPOT"), (), ComputeKind.FARGATE, "on Fargate"),
        (
            ("MANAGED_INSTANCES",),
            ("own",),
            (),
            ComputeKind.MANAGED_INSTANCES,
            "on the Managed Instances of own",
        ),
        ((), (), ("MANAGED_INSTANCES",), ComputeKind.MANAGED_INSTANCES, "on Managed Instances"),
    ],
)
def test_what_a_task_runs_on(launch_types, providers, compatibilities, kind, place):
    found = compute_of(launch_types=launch_types, providers=providers, compatibilities=compatibilities)
    assert (found.kind, found.place) == (kind, place)


def test_fargate_has_no_instances_to_look_at_and_words_of_its_own():
    compute = compute_of(providers=("FARGATE_SPOT",))
    assert shortage_of(requirement_of(definition()), (), compute=compute) is None
    message, hint = capacity_words(compute, "ec2-capacity")
    assert "Fargate Spot" in message
    assert "FARGATE to capacity-providers" in hint
    assert "Fargate Spot" not in capacity_words(compute_of(launch_types=("FARGATE",)), "ec2-capacity")[0]
    assert capacity_words(compute, "vcpu-quota") is None
    assert capacity_words(Compute(), "ec2-capacity") is None


def test_managed_instances_are_chosen_by_ecs_and_no_auto_scaling_group_is_named():
    compute = compute_of(launch_types=("MANAGED_INSTANCES",), providers=("own",))
    found = shortage_of(requirement_of(definition(gpus="2")), (instance(0),), compute=compute)
    assert found.answer == Answer.SCALING
    assert found.code == "gpu-capacity"
    assert not found.certain
    assert "instanceRequirements" in found.hint
    assert "no Auto Scaling group" in found.hint
    room = (instance(0, capacityProviderName="own"),)
    assert shortage_of(requirement_of(definition()), room, compute=compute) is None
    assert shortage_of(requirement_of(definition(gpus="24")), (), compute=compute).certain


def test_nothing_is_said_of_instances_that_do_not_show_what_they_have():
    dark = [replace(each, shows_resources=False) for each in FULL]
    assert answer(definition(gpus="4"), dark) is None
    assert answer(definition(gpus="4"), (dark[0], FULL[1])).answer == Answer.OTHERS
    assert answer(definition(gpus="4"), FULL).certain
