"""What a plan says of itself, and what it rests on: prices, durations, providers as AWS shows them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ecs_gpu_deploy.core.capacity.instance_types import fresh_room, interfaces_for_tasks
from ecs_gpu_deploy.core.capacity.price import price_for
from ecs_gpu_deploy.core.capacity.seen_room import GroupSeen, ProviderSeen, supplies_of
from ecs_gpu_deploy.core.past.durations import NOT_SEEN, durations_of, measured_tag
from ecs_gpu_deploy.core.show.plan_view import plan_gantt, plan_markdown, plan_sentence, plan_text
from ecs_gpu_deploy.model import Deployment, Event, Service, Task
from ecs_gpu_deploy.result import (
    Plan,
    PlannedCapacity,
    PlannedDuration,
    PlannedInstance,
    PlannedPhase,
    PlannedRemedy,
    PlannedStep,
    Predicted,
)

PREDICTED = Predicted(
    ends="succeeds",
    seconds=501.0,
    phases=[
        PlannedPhase(name="load", began=44.0, ended=429.0),
        PlannedPhase(name="drain", began=180.0, ended=500.0),
    ],
    breaker_at=None,
    failures=0,
    gpu_minutes=25.0,
    double_gpu_minutes=8.0,
    launched=0,
    cost=0.17,
    price_source="gpu-hourly-cost",
    durations={"pull": PlannedDuration(seconds=39.0, source="measured on 2 tasks of rag:1")},
    timeout=780,
    grace_period=182,
    start_period=121,
)
PLAN = Plan(
    steps=[PlannedStep(does="Update rag to rag:2.", operation="ecs:UpdateService")],
    changes="~ image: a → b",
    capacity=PlannedCapacity(
        fit="crawls",
        why="New tasks wait for the room of old ones.",
        waves=2,
        fewest_serving=2,
        missing=0,
        launches={},
        instances=[
            PlannedInstance(
                id="i-1",
                instance_type="g5.xlarge",
                availability_zone="eu-central-1a",
                capacity_provider="",
                gpus=1.0,
                free_gpus=0,
                lacks=["RESOURCE:GPU"],
                impaired=["ACCELERATED_COMPUTE"],
            )
        ],
        holders={"rag|evil": 2},
        remedies=[
            PlannedRemedy(
                code="instances",
                change="Add 1 instance.",
                fit="fits",
                seconds=251.0,
                less=0,
                instances=1,
                instance_type="g5.xlarge",
                cost=0.09,
            )
        ],
    ),
    predicted=PREDICTED,
)


def test_the_sentence_says_fit_and_time() -> None:
    assert plan_sentence(PLAN, service="rag") == (
        "The rollout of rag fits one after the other and takes about 8m21s."
    )
    back = replace(PLAN, predicted=replace(PREDICTED, ends="rolls back", breaker_at=400.0, failures=3))
    assert "rolls back after about 6m40s (3 tasks failed)" in plan_sentence(back, service="rag")
    never = replace(PLAN, capacity=replace(PLAN.capacity, fit="never", why="No place."))
    assert plan_sentence(never, service="rag") == "The rollout of rag cannot fit: No place."


def test_the_text_has_room_holders_remedies_and_times() -> None:
    text = plan_text(PLAN)
    assert "i-1 g5.xlarge eu-central-1a: 0 of 1 GPUs free, lacks RESOURCE:GPU, impaired: ACC" in text
    assert "Add 1 instance. (then about 4m11s, as many tasks serve throughout, 0.09 for the inst" in text
    assert "GPU-minutes: 25 in all, 8 held twice, which cost 0.17 (gpu-hourly-cost)" in text
    assert "settings that fit: timeout 13m, healthCheckGracePeriodSeconds 182, startPeriod 121" in text


def test_the_summary_has_a_gantt_and_escapes_what_is_foreign() -> None:
    assert plan_gantt(PREDICTED).splitlines()[-3:] == [
        "    load 6m25s :44000, 429000",
        "    drain 5m20s :180000, 500000",
        "```",
    ]
    shown = plan_markdown(PLAN)
    assert "```mermaid" in shown
    assert "rag|evil" not in shown.replace("\\|", "")
    assert "breaker :crit, milestone, 60000, 60000" in plan_gantt(replace(PREDICTED, breaker_at=60.0))


def test_a_price_is_given_listed_or_not_known() -> None:
    assert price_for("g5.xlarge", "eu-central-1", 1, given=2.0).of_gpu_seconds(1800) == 1.0
    listed = price_for("g5.12xlarge", "us-east-1", 4, given=None)
    assert listed.gpu_hour == pytest.approx(1.418)
    assert "on demand, USD, 2026-07-20" in listed.source
    elsewhere = price_for("g5.xlarge", "eu-central-1", 1, given=None)
    assert (elsewhere.gpu_hour, elsewhere.source[-10:]) == (1.258, "2026-01-21")
    unknown = price_for("g5.xlarge", "mx-central-1", 1, given=None)
    assert unknown.of_gpu_seconds(60) is None
    assert "not known" in unknown.source


def test_network_interfaces_are_one_fewer_than_the_type_takes_unless_trunked() -> None:
    assert interfaces_for_tasks("g5.xlarge", {}) == 3
    trunk = {"ecs.awsvpc-trunk-id": "eni-1"}
    # Developer Guide, "Supported instances for increased Amazon ECS container network interfaces".
    assert interfaces_for_tasks("g5.xlarge", trunk) == 6
    assert interfaces_for_tasks("g4dn.xlarge", trunk) == 40
    assert interfaces_for_tasks("unheard.of", {}) == interfaces_for_tasks("unheard.of", trunk) == 1000
    room = fresh_room("g5.12xlarge")
    assert room is not None
    assert (len(room.free_gpus), room.cpu) == (4, 48 * 1024)
    assert fresh_room("unheard.of") is None


def _service(events: tuple[Event, ...] = ()) -> Service:
    deployment = Deployment(id="d", status="PRIMARY", task_definition="arn/rag:2", created_at=1000.0)
    return Service(
        arn="arn",
        name="rag",
        cluster_arn="arn",
        status="ACTIVE",
        task_definition="arn/rag:2",
        desired_count=1,
        running_count=1,
        pending_count=0,
        deployments=(deployment,),
        events=events,
    )


def test_durations_come_from_tags_then_timestamps_then_defaults() -> None:
    task = Task(
        arn="t",
        started_by="d",
        task_definition_arn="arn/rag:2",
        created_at=1001.0,
        pull_started_at=1002.0,
        pull_stopped_at=1042.0,
        started_at=1045.0,
    )
    left = Event(
        id="e", created_at=1166.0, message="(service rag) has begun draining connections on 1 tasks."
    )
    ended = Event(id="c", created_at=1300.0, message="(service rag) (deployment d) deployment completed.")
    found = durations_of(_service((ended, left)), (task,), {})
    assert (found.pull.seconds, found.start.seconds, found.load.seconds) == (40.0, 3.0, 121.0)
    assert found.load.source == "read off the events of the deployment of rag:2"
    assert found.launch.source == NOT_SEEN
    assert not found.launch.is_seen
    # At 0 percent old ones leave before a new one is healthy, and the end may wait for them alone.
    half = replace(_service((ended, left)), minimum_healthy_percent=0)
    assert durations_of(half, (task,), {}).load.source == NOT_SEEN
    # Once they are gone, its end is that of the load: with those that stopped in sight.
    old = replace(task, arn="old", started_by="d0", created_at=8.0, started_at=9.0, stopped_at=1200.0)
    first = durations_of(half, (task, old), {}).load
    assert (first.seconds, first.source) == (255.0, "read off the completion of the deployment of rag:2")
    last = durations_of(half, (task, replace(old, stopped_at=1299.0)), {}).load
    assert last.source == NOT_SEEN
    # Without the end of its deployment in sight, what leaves may be a scale-in days later.
    assert durations_of(_service((left,)), (task,), {}).load.source == NOT_SEEN
    told = durations_of(_service((left,)), (task,), measured_tag({"load": 130.04, "pull": 0.0}))
    assert (told.load.seconds, told.load.source) == (130.0, "measured on the rollout of rag:2")
    assert told.pull.seconds == 40.0


def test_capacity_providers_are_read_with_the_room_that_their_groups_leave() -> None:
    arn = "arn:aws:autoscaling:r:1:autoScalingGroup:u:autoScalingGroupName/asg"
    scaling = {"autoScalingGroupArn": arn, "managedScaling": {"status": "ENABLED"}}
    provider = ProviderSeen.from_api({"name": "gpu", "autoScalingGroupProvider": scaling})
    assert (provider.managed, provider.group) == (True, "asg")
    overrides = {"LaunchTemplate": {"Overrides": [{"InstanceType": "g5.xlarge"}]}}
    group = GroupSeen.from_api(
        {
            "AutoScalingGroupName": "asg",
            "DesiredCapacity": 1,
            "MaxSize": 4,
            "MixedInstancesPolicy": overrides,
        }
    )
    strategy = [{"capacityProvider": "gpu", "weight": 1}, {"capacityProvider": "FARGATE", "weight": 1}]
    [supply] = supplies_of(strategy, {"gpu": provider}, {"asg": group}, (), most=9)
    assert (supply.more, supply.instance_type, supply.managed) == (4, "g5.xlarge", True)
    assert supply.fresh is not None
    [unseen] = supplies_of(strategy[:1], {"gpu": provider}, None, (), most=9)
    assert (unseen.more, unseen.fresh) == (9, None)
