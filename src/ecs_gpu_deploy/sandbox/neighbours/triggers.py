"""What starts things by itself: schedules, and alarms over queues with what they scale and whom they tell.

moto keeps all of these and lets none of them happen. Here they do, once a minute of model time, as far as a
queue needs it: a schedule sends to a queue, an alarm looks at the depth of queues, and a step scaling policy
sets the desired count of a service. An upload reaches a queue by moto itself, at once (S3, EventBridge).
Messages that are received stay hidden by the machine's clock, as moto has it.
"""

from __future__ import annotations

import operator
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

MINUTE = 60
MOST_MINUTES = 1440
"""An alarm looks back a day at most (PutMetricAlarm, CloudWatch API Reference)."""
COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanOrEqualToThreshold": operator.le,
    "LessThanThreshold": operator.lt,
}
DEPTHS: Mapping[str, str] = {
    "ApproximateNumberOfMessagesVisible": "approximate_number_of_messages",
    "ApproximateNumberOfMessagesNotVisible": "approximate_number_of_messages_not_visible",
}
UNITS: Mapping[str, int] = {"minute": 1, "hour": 60, "day": 1440}
Point = Mapping[tuple[str, str], float]
"""The depths of one minute, by queue and metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """Want so many tasks of a service."""

    cluster: str
    service: str
    desired: int


class Triggers:
    """Let the minutes pass over moto's backends, which `backend` gives by the names that they sign with."""

    def __init__(self, backend: Callable[[str], Any]) -> None:
        self._backend = backend
        self._points: deque[Point] = deque(maxlen=MOST_MINUTES)

    def pass_minute(self, at: float, opened: frozenset[str] | set[str]) -> Iterator[Scaling]:
        """Let what is due at this minute (epoch seconds) happen; yield what is to be scaled."""
        if "scheduler" in opened:
            self._send_what_is_due(at)
        queues = self._backend("sqs").queues
        self._points.append(
            {
                (name, metric): float(getattr(queue, attribute))
                for name, queue in queues.items()
                for metric, attribute in DEPTHS.items()
            }
        )
        if "monitoring" not in opened:
            return
        for alarm in list(self._backend("monitoring").alarms.values()):
            values = _values(alarm, self._points)
            if values is None:
                continue
            rings = _rings(alarm, values)
            changed = rings != (alarm.state_value == "ALARM")
            if changed:
                alarm.update_state("Threshold Crossed", "{}", "ALARM" if rings else "OK")
            for action in alarm.alarm_actions if rings else ():
                if ":sns:" in action and changed:
                    self._backend("sns").publish(message=f"{alarm.name} is in ALARM", arn=action)
                if ":scalingPolicy:" in action and "application-autoscaling" in opened:
                    yield from self._scaled(action, values[-1] - float(alarm.threshold))

    def _send_what_is_due(self, at: float) -> None:
        for group in self._backend("scheduler").schedule_groups.values():
            for schedule in group.schedules.values():
                zone = ZoneInfo(schedule.schedule_expression_timezone)
                due = is_due(schedule.schedule_expression, datetime.fromtimestamp(at, UTC).astimezone(zone))
                if due and schedule.state == "ENABLED" and ":sqs:" in schedule.target["Arn"]:
                    name = schedule.target["Arn"].rpartition(":")[2]
                    self._backend("sqs").send_message(name, schedule.target.get("Input") or "{}")

    def _scaled(self, action: str, beyond: float) -> Iterator[Scaling]:
        scaling = self._backend("application-autoscaling")
        for policy in scaling.policies.values():
            if policy.policy_arn != action or policy.step_scaling_policy_configuration is None:
                continue
            target = scaling.targets[policy.scalable_dimension][policy.resource_id]
            wanted = exact_capacity(policy.step_scaling_policy_configuration, beyond)
            if wanted is not None:
                _, cluster, service = policy.resource_id.split("/")
                bounded = max(int(target.min_capacity), min(int(target.max_capacity), wanted))
                yield Scaling(cluster=cluster, service=service, desired=bounded)


def exact_capacity(configuration: Mapping[str, Any], beyond: float) -> int | None:
    """Return what a step scaling policy (ExactCapacity) sets, so far beyond the alarm's threshold."""
    if configuration.get("AdjustmentType") != "ExactCapacity":
        return None
    for step in configuration["StepAdjustments"]:
        lower, upper = step.get("MetricIntervalLowerBound"), step.get("MetricIntervalUpperBound")
        # Above the threshold the upper bound is exclusive, below it the lower one (StepAdjustment, API).
        low = float("-inf") if lower is None else float(lower)
        high = float("inf") if upper is None else float(upper)
        if low <= beyond < high if low >= 0 else low < beyond <= high:
            return int(step["ScalingAdjustment"])
    return None


def is_due(expression: str, now: datetime) -> bool:
    """Tell whether a schedule, cron(…) of numbers or rate(…), is due in this minute of its own time zone."""
    kind, _, inner = expression.rstrip(")").partition("(")
    fields = inner.split()
    if kind == "rate":
        every = int(fields[0]) * UNITS[fields[1].removesuffix("s")]
        return int(now.timestamp()) // MINUTE % every == 0
    if kind != "cron" or len(fields) != 6:
        return False
    week_day = now.isoweekday() % 7 + 1  # 1 is Sunday
    parts = (now.minute, now.hour, now.day, now.month, week_day, now.year)
    return all(_takes(field, part) for field, part in zip(fields, parts, strict=True))


def _takes(field: str, part: int) -> bool:
    if field in ("*", "?"):
        return True
    for choice in field.split(","):
        span, _, step = choice.partition("/")
        low, _, high = span.partition("-")
        first = 0 if low == "*" else int(low)
        last = int(high) if high else (first if not step else 9999)
        if first <= part <= last and (part - first) % int(step or 1) == 0:
            return True
    return False


def _rings(alarm: Any, values: Sequence[float]) -> bool:
    needed = int(alarm.evaluation_periods)
    breaks = COMPARISONS[alarm.comparison_operator]
    return len(values) >= needed and all(breaks(one, float(alarm.threshold)) for one in values[-needed:])


def _values(alarm: Any, points: Sequence[Point]) -> list[float] | None:
    """Return an alarm's value in each minute; None where it is not over the depth of queues alone."""
    if alarm.comparison_operator not in COMPARISONS:
        return None
    keys = {"": (alarm.namespace, alarm.metric_name, alarm.dimensions)}
    terms = [""]
    if alarm.metric_data_queries:
        stats = {one.id: one.metric_stat.metric for one in alarm.metric_data_queries if one.metric_stat}
        keys = {key: (one.namespace, one.metric_name, one.dimensions) for key, one in stats.items()}
        [expression] = [one.expression for one in alarm.metric_data_queries if one.expression] or [""]
        terms = re.findall(r"FILL\((\w+), 0\)", expression)
        if " + ".join(f"FILL({term}, 0)" for term in terms) != expression:
            return None
    if not terms or any(keys[term][0] != "AWS/SQS" or keys[term][1] not in DEPTHS for term in terms):
        return None
    wanted = [(keys[term][2][0].value, keys[term][1]) for term in terms]
    return [sum(point.get(key, 0.0) for key in wanted) for point in points]
