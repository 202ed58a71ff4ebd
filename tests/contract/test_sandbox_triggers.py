"""Uploads and schedules on the local AWS: queue, alarm and scaling happen in model time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from ecs_gpu_deploy.sandbox.neighbours.triggers import exact_capacity, is_due
from sandbox_process import RunningSandbox, sandbox_thread

WORLD = """
clusters: [gpu]
instances: [{type: g5.xlarge, cluster: gpu, count: 2}]
images: [{image: ingest:v1, load_seconds: 20}]
"""
DEFINITION: dict[str, Any] = {
    "family": "ingest",
    "containerDefinitions": [
        {
            "name": "ingest",
            "image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/ingest:v1",
            "memory": 1024,
            "resourceRequirements": [{"type": "GPU", "value": "1"}],
        }
    ],
}
TARGET = {
    "ServiceNamespace": "ecs",
    "ResourceId": "service/gpu/ingest",
    "ScalableDimension": "ecs:service:DesiredCount",
}
DEPTH = {"Namespace": "AWS/SQS", "Statistic": "Maximum", "Period": 60, "Threshold": 1}


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with sandbox_thread(WORLD) as running:
        yield running


def counts(sandbox: RunningSandbox) -> tuple[int, int]:
    with sandbox.client("ecs") as ecs:
        [service] = ecs.describe_services(cluster="gpu", services=["ingest"])["services"]
    return service["desiredCount"], service["runningCount"]


def test_an_upload_starts_one_task_and_an_empty_queue_ends_it(sandbox: RunningSandbox) -> None:
    with sandbox.client("sqs") as sqs, sandbox.client("ecs") as ecs, sandbox.client("events") as events:
        url = sqs.create_queue(QueueName="work")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        pattern = {
            "detail-type": ["Object Created"],
            "detail": {"object": {"key": [{"prefix": "documents/"}]}},
        }
        events.put_rule(Name="document", EventPattern=json.dumps(pattern))
        events.put_targets(Rule="document", Targets=[{"Id": "queue", "Arn": arn}])
        ecs.register_task_definition(**DEFINITION)
        ecs.create_service(cluster="gpu", serviceName="ingest", taskDefinition="ingest", desiredCount=0)
        scale_on_depth(sandbox)
        with sandbox.client("s3", s3={"addressing_style": "path"}) as s3:
            s3.create_bucket(Bucket="docs", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
            s3.put_bucket_notification_configuration(
                Bucket="docs", NotificationConfiguration={"EventBridgeConfiguration": {}}
            )
            for number in range(30):
                s3.put_object(Bucket="docs", Key=f"documents/{number}", Body=b"-")
            s3.put_object(Bucket="docs", Key="index/part", Body=b"-")
            events.disable_rule(Name="document")
            s3.put_object(Bucket="docs", Key="documents/asleep", Body=b"-")
            events.enable_rule(Name="document")
        sandbox.advance(30)
        assert counts(sandbox) == (0, 0)
        sandbox.advance(240)
        assert counts(sandbox) == (1, 1)
        held = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            held += messages
        assert len(held) == 30, "documents only"
        sandbox.advance(900)
        assert counts(sandbox) == (1, 1), "what it holds keeps it"
        for message in held:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        sandbox.advance(240)
        assert counts(sandbox) == (1, 1)
        sandbox.advance(240)
        assert counts(sandbox) == (0, 0)
    desired = [call["parameters"] for call in sandbox.calls("UpdateService")]
    assert desired == [], "the local AWS does it, and nobody called"


def scale_on_depth(sandbox: RunningSandbox) -> None:
    """Scale the service between 0 and 1, as the example's module does."""
    with sandbox.client("application-autoscaling") as scaling, sandbox.client("cloudwatch") as alarms:
        scaling.register_scalable_target(**TARGET, MinCapacity=0, MaxCapacity=1)
        policies = {}
        for name, adjustment, bound in (("start", 1, "Lower"), ("end", 0, "Upper")):
            step = {"ScalingAdjustment": adjustment, f"MetricInterval{bound}Bound": 0}
            policies[name] = scaling.put_scaling_policy(
                **TARGET,
                PolicyName=name,
                PolicyType="StepScaling",
                StepScalingPolicyConfiguration={"AdjustmentType": "ExactCapacity", "StepAdjustments": [step]},
            )["PolicyARN"]
        queue = [{"Name": "QueueName", "Value": "work"}]
        alarms.put_metric_alarm(
            AlarmName="waiting",
            MetricName="ApproximateNumberOfMessagesVisible",
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            EvaluationPeriods=1,
            AlarmActions=[policies["start"]],
            Dimensions=queue,
            **DEPTH,
        )
        names = {"v": "ApproximateNumberOfMessagesVisible", "h": "ApproximateNumberOfMessagesNotVisible"}
        metrics = [
            {
                "Id": key,
                "MetricStat": {
                    "Metric": {"Namespace": "AWS/SQS", "MetricName": name, "Dimensions": queue},
                    "Period": 60,
                    "Stat": "Maximum",
                },
                "ReturnData": False,
            }
            for key, name in names.items()
        ]
        alarms.put_metric_alarm(
            AlarmName="drained",
            ComparisonOperator="LessThanThreshold",
            EvaluationPeriods=5,
            Threshold=1,
            AlarmActions=[policies["end"]],
            Metrics=[*metrics, {"Id": "sum", "Expression": "FILL(v, 0) + FILL(h, 0)", "ReturnData": True}],
        )


def test_a_schedule_sends_to_a_queue_and_people_hear_of_dead_letters(sandbox: RunningSandbox) -> None:
    with sandbox.client("sqs") as sqs, sandbox.client("sns") as sns, sandbox.client("cloudwatch") as alarms:
        work, heard = (sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("work", "heard"))
        base = "arn:aws:sqs:eu-central-1:123456789012"
        topic = sns.create_topic(Name="alerts")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"{base}:heard")
        alarms.put_metric_alarm(
            AlarmName="dead-letters",
            MetricName="ApproximateNumberOfMessagesVisible",
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            EvaluationPeriods=1,
            AlarmActions=[topic],
            Dimensions=[{"Name": "QueueName", "Value": "work"}],
            **DEPTH,
        )
        with sandbox.client("scheduler") as scheduler:
            scheduler.create_schedule(
                Name="nightly",
                ScheduleExpression="cron(0 9 * * ? *)",
                FlexibleTimeWindow={"Mode": "OFF"},
                Target={
                    "Arn": f"{base}:work",
                    "RoleArn": "arn:aws:iam::123456789012:role/r",
                    "Input": '{"a": 1}',
                },
            )
        sandbox.advance(3540)
        assert "Messages" not in sqs.receive_message(QueueUrl=work), "it is 8:59"
        sandbox.advance(120)
        [message] = sqs.receive_message(QueueUrl=work)["Messages"]
        assert message["Body"] == '{"a": 1}'
        [told] = sqs.receive_message(QueueUrl=heard, MaxNumberOfMessages=10)["Messages"]
        assert json.loads(told["Body"])["Message"] == "dead-letters is in ALARM"
        sandbox.advance(24 * 3600)
        [again] = sqs.receive_message(QueueUrl=work)["Messages"]
        assert again["Body"] == '{"a": 1}', "once a day"


NOON = datetime(2026, 11, 27, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "due"),
    [
        ("cron(30 12 * * ? *)", True),
        ("cron(31 12 * * ? *)", False),
        ("cron(0/15 * * * ? *)", True),
        ("cron(20-25,30 12 27 11 ? 2026)", True),
        ("cron(30 12 ? * 6 *)", True),
        ("cron(30 12 ? * 2-5 *)", False),
        ("rate(30 minutes)", True),
        ("rate(1 hour)", False),
        ("at(2026-11-27T12:30:00)", False),
    ],
)
def test_when_a_schedule_is_due(expression: str, due: bool) -> None:
    assert is_due(expression, NOON) is due


def test_what_a_step_sets() -> None:
    steps = {
        "AdjustmentType": "ExactCapacity",
        "StepAdjustments": [
            {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 10, "ScalingAdjustment": 1},
            {"MetricIntervalLowerBound": 10, "ScalingAdjustment": 2},
        ],
    }
    assert [exact_capacity(steps, beyond) for beyond in (-1, 0, 9, 10, 500)] == [None, 1, 1, 2, 2]
    down = {
        "AdjustmentType": "ExactCapacity",
        "StepAdjustments": [{"MetricIntervalUpperBound": 0, "ScalingAdjustment": 0}],
    }
    assert [exact_capacity(down, beyond) for beyond in (-1, 0, 1)] == [0, 0, None]
    assert exact_capacity({"AdjustmentType": "ChangeInCapacity", "StepAdjustments": []}, 1) is None
