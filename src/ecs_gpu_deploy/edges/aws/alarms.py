"""Amazon CloudWatch: which alarms there are, and in which state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ecs_gpu_deploy.edges.aws.answers import reading
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.model import text_in

_BATCH = 100


def fetch_alarm_states(aws: Aws, names: Sequence[str]) -> Mapping[str, str]:
    """Return the state of each alarm of *names* that there is: OK, ALARM, INSUFFICIENT_DATA; AwsError."""
    found: dict[str, str] = {}
    for begin in range(0, len(names), _BATCH):
        params = {
            "AlarmNames": list(names[begin : begin + _BATCH]),
            "AlarmTypes": ["MetricAlarm", "CompositeAlarm"],
        }
        answer = aws.call("cloudwatch", "describe_alarms", params)
        with reading("cloudwatch.DescribeAlarms"):
            for member in ("MetricAlarms", "CompositeAlarms"):
                for item in answer.get(member) or ():
                    found[text_in(item, "AlarmName")] = text_in(item, "StateValue")
    return found
