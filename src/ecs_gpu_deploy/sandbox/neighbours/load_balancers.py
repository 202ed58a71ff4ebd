"""Load balancers as moto keeps them, as values: listeners, their rules, and how targets are checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

IDLE_SECONDS = 60.0
HTTP = frozenset({"HTTP", "HTTPS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a listener does with requests: `forward` to target groups by weight, or answer by itself.

    `answer` is (status, content type, body). Empty `paths` and `hosts` take any. Patterns know `*` and `?`.
    """

    paths: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    forward: tuple[tuple[str, float], ...] = ()
    answer: tuple[int, str, str] = (503, "text/plain", "")

    def takes(self, path: str, host: str) -> bool:
        """Is the rule for this request? Hosts are compared without case."""
        return _matches(self.paths, path) and _matches(self.hosts, host.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One HTTP or HTTPS listener; the last rule is its default action."""

    name: str
    port: int
    protocol: str
    idle_seconds: float
    rules: tuple[Rule, ...]

    @property
    def groups(self) -> frozenset[str]:
        """The ARNs of all target groups behind it."""
        return frozenset(arn for rule in self.rules for arn, _ in rule.forward)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedGroup:
    """How a target group checks and chooses its targets. Seconds; `codes` are inclusive ranges."""

    arn: str
    protocol: str = "HTTP"
    path: str = "/"
    codes: tuple[tuple[int, int], ...] = ((200, 200),)
    interval: float = 30.0
    timeout: float = 5.0
    healthy_threshold: int = 5
    unhealthy_threshold: int = 2
    slow_start: float = 0.0
    least_outstanding: bool = False

    def accepts(self, status: int) -> bool:
        """Is it the answer of a healthy target?"""
        return any(least <= status <= most for least, most in self.codes)


def listeners_in(elbv2: Any) -> Iterator[Listener]:
    """Yield moto's listeners of Application Load Balancers, in the order of their ports."""
    for balancer in elbv2.load_balancers.values():
        if balancer.type != "application":
            continue
        idle = float(balancer.attrs.get("idle_timeout.timeout_seconds", IDLE_SECONDS))
        for listener in sorted(balancer.listeners.values(), key=lambda each: int(each.port)):
            if listener.protocol in HTTP:
                kept = sorted(listener._non_default_rules.values(), key=lambda rule: int(rule.priority))
                rules = [_rule(rule.conditions, rule.actions) for rule in kept]
                yield Listener(
                    name=balancer.name,
                    port=int(listener.port),
                    protocol=listener.protocol.lower(),
                    idle_seconds=idle,
                    rules=(*filter(None, rules), _rule((), listener.default_actions) or Rule()),
                )


def checked_group_in(elbv2: Any, arn: str) -> CheckedGroup | None:
    """Read how a target group of moto's checks its targets; None where it does not exist."""
    group = elbv2.target_groups.get(arn)
    if group is None:
        return None
    attributes: Mapping[str, Any] = group.attributes
    http = group.health_check_protocol in HTTP
    matcher = (getattr(group, "matcher", None) or {}).get("HttpCode") or "200"
    return CheckedGroup(
        arn=arn,
        protocol=str(group.health_check_protocol or "HTTP"),
        path=(group.health_check_path or "/") if http else "/",
        codes=_codes(str(matcher)),
        interval=float(group.health_check_interval_seconds),
        timeout=float(group.health_check_timeout_seconds),
        healthy_threshold=int(group.healthy_threshold_count),
        unhealthy_threshold=int(group.unhealthy_threshold_count),
        slow_start=float(attributes.get("slow_start.duration_seconds") or 0),
        least_outstanding=attributes.get("load_balancing.algorithm.type") == "least_outstanding_requests",
    )


def _rule(conditions: Any, actions: Any) -> Rule | None:
    """Read a rule; None for one with conditions that are not looked at (headers, methods, addresses)."""
    asked: dict[str, tuple[str, ...]] = {}
    for condition in conditions:
        field = str(condition.get("Field") or condition.get("field") or "")
        config = condition.get("PathPatternConfig") or condition.get("HostHeaderConfig") or {}
        asked[field] = tuple(config.get("Values") or condition.get("Values") or ())
    if not asked.keys() <= {"path-pattern", "host-header"}:
        return None
    paths = asked.get("path-pattern", ())
    hosts = tuple(each.lower() for each in asked.get("host-header", ()))
    for action in actions:
        if action.type == "forward":
            config = action.data.get("ForwardConfig") or {}
            groups = config.get("TargetGroups") or ({"TargetGroupArn": action.data.get("TargetGroupArn")},)
            forward = tuple((str(each["TargetGroupArn"]), float(each.get("Weight", 1))) for each in groups)
            return Rule(paths=paths, hosts=hosts, forward=forward)
        if action.type == "fixed-response":
            fixed = action.data.get("FixedResponseConfig") or {}
            kind = str(fixed.get("ContentType") or "text/plain")
            answer = (int(fixed.get("StatusCode") or 503), kind, str(fixed.get("MessageBody") or ""))
            return Rule(paths=paths, hosts=hosts, answer=answer)
    return None


def _codes(text: str) -> tuple[tuple[int, int], ...]:
    """Read a matcher: `200`, `200,204`, `200-399`."""
    ranges = [part.partition("-") for part in text.split(",")]
    return tuple((int(first), int(last or first)) for first, _, last in ranges)


def _matches(patterns: tuple[str, ...], text: str) -> bool:
    """Of a pattern only `*` and `?` are special, unlike in Python's own."""
    return not patterns or any(fnmatchcase(text, pattern.replace("[", "[[]")) for pattern in patterns)
