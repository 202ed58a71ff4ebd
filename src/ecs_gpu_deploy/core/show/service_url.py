"""Under which address a service answers, as its load balancer says: scheme, host, port and path."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

Api = Mapping[str, Any]
_SCHEMES = {"HTTPS": ("https", 443), "TLS": ("https", 443), "HTTP": ("http", 80)}
"""What a browser speaks with a listener of this protocol, and on which port unless it is said."""
_SAYABLE = {
    "host-header": re.compile(r"[a-z0-9._-]*", re.ASCII | re.IGNORECASE),
    "path-pattern": re.compile(r"(?:/[\w$/~@:+&.%-]*)?", re.ASCII),
}
"""Condition of a rule → which of its values stand in an address as they are; those with wildcards do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """A rule of a listener that forwards to `targets` (ARNs of target groups).

    `host` and `path` are what it wants of a request, "" for anything: of several values the first that can be
    an address, without the wildcard at the end of a path. `has_address`: they are all it wants; a header, a
    method or wildcards within a name cannot be said in an address.
    """

    targets: frozenset[str]
    host: str = ""
    path: str = ""
    has_address: bool = True

    @classmethod
    def from_api(cls, api: Api) -> Self:
        """Read Rule of Elastic Load Balancing, or a listener, whose default actions are the rule."""
        values: dict[str, list[str]] = {}
        for condition in api.get("Conditions") or ():
            config = condition.get("HostHeaderConfig") or condition.get("PathPatternConfig") or {}
            found = config.get("Values") or condition.get("Values") or ()
            values.setdefault(str(condition.get("Field", "")), []).extend(map(str, found))
        named = {
            "host-header": ["" if host == "*" else host for host in values.pop("host-header", [""])],
            "path-pattern": [path.rstrip("*") for path in values.pop("path-pattern", [""])],
        }
        host, path = (
            next((each for each in named[field] if sayable.fullmatch(each)), None)
            for field, sayable in _SAYABLE.items()
        )
        return cls(
            targets=frozenset(_targets(api.get("Actions") or api.get("DefaultActions") or ())),
            host=host or "",
            path=path or "",
            has_address=host is not None and path is not None and not values,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A listener of a load balancer, with its default action as a rule."""

    arn: str
    protocol: str
    port: int
    default: Forward

    @classmethod
    def from_api(cls, api: Api) -> Self:
        """Read Listener."""
        return cls(
            arn=str(api.get("ListenerArn", "")),
            protocol=str(api.get("Protocol", "")),
            port=int(api.get("Port") or 0),
            default=Forward.from_api(api),
        )


def _targets(actions: Sequence[Api]) -> list[str]:
    found = []
    for action in actions:
        if action.get("Type") == "forward":
            groups = (action.get("ForwardConfig") or {}).get("TargetGroups") or ()
            found += [str(each.get("TargetGroupArn", "")) for each in groups if each.get("Weight", 1)]
            found += [str(action["TargetGroupArn"])] if action.get("TargetGroupArn") else []
    return found


def in_order(listeners: Sequence[Listener]) -> list[Listener]:
    """Return the listeners that a browser can speak with, what is encrypted and on its usual port first.

    Source: Elastic Load Balancing API Reference, "Listener" (Protocol, Port).
    """
    spoken = [listener for listener in listeners if listener.protocol in _SCHEMES]
    usual = {listener.arn: _SCHEMES[listener.protocol][1] == listener.port for listener in spoken}
    return sorted(spoken, key=lambda each: (each.protocol == "HTTP", not usual[each.arn], each.port))


def service_url(dns_name: str, listener: Listener, rules: Sequence[Forward], targets: frozenset[str]) -> str:
    """Return the address at which *listener* forwards to one of *targets*; "" where it does not.

    *rules* are the listener's own, its default action the last; those that no address can meet are passed
    over. Without a rule on the host the load balancer's *dns_name* is all that is known: the name that people
    use may be another one.

    Source: Elastic Load Balancing API Reference, "Rule" (Conditions, Actions), "LoadBalancer" (DNSName).
    """
    forwards = (rule for rule in (*rules, listener.default) if rule.targets & targets)
    found = next((rule for rule in forwards if rule.has_address), None)
    if found is None or not (found.host or dns_name):
        return ""
    scheme, usual = _SCHEMES[listener.protocol]
    port = "" if listener.port == usual else f":{listener.port}"
    return f"{scheme}://{found.host or dns_name}{port}{found.path or '/'}"
