"""What AWS shows of a world at a second: written times become members of AWS's answers.

Every time of a world is in seconds since its zero (UpdateService, the first RunTask, or the start of a
watch). A member shown here is a written one, or follows from written ones by counting and comparing times;
nothing is scheduled, counted against a threshold or judged.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from scripted_account import Account
from scripted_codedeploy import CodeDeploy
from scripted_definitions import Definitions
from scripted_deployments import Deployments
from scripted_events import Events
from scripted_instances import Instances
from scripted_names import LONG_AGO, NEVER, Shown
from scripted_service import Service
from scripted_tasks import Tasks


class State(Definitions, Service, Events, Deployments, Tasks, Instances, Account, CodeDeploy):
    """A world: data in, members of AWS's answers out."""

    def __init__(self, world: Mapping[str, Any]) -> None:
        self.world = world
        self.now = self.origin = 0.0
        self.before = float(world.get("before", 0))
        self.skew = float(world.get("skew", 0))
        self.command = str(world["run"]).split()[0]
        self.started = self.command == "watch" or bool(world.get("under_way"))
        self.lenient = bool(world.get("lenient"))
        self.faults: Sequence[Mapping[str, Any]] = world.get("faults", ())
        self.service = world["service"]
        self.phases = [self._phase(item) for item in world.get("phases", ())]
        self.updates: list[Mapping[str, Any]] = []
        self.registered: list[Mapping[str, Any]] = []
        self.created: list[Mapping[str, Any]] = []
        self.stopped_states: list[Any] = []
        self.definitions = dict(self._definitions())
        self.new_definition = self._name(world.get("new", "")) if world.get("new") else ""
        self.history = [self._past(n, item) for n, item in enumerate(world["history"], 1)]
        good = [
            item
            for item in self.history
            if "SUCCESSFUL" in json.dumps(item["status"]).replace("ROLLBACK_", "-")
        ]
        self.old = next(
            (i for i in self.history if i["rev"] == world.get("runs")), (good or self.history)[-1]
        )
        self.first = bool(world.get("first"))
        self.run_tasks: dict[str, tuple[Mapping[str, Any], float]] = {}
        self.tokens: dict[str, Any] = {}
        self.batches = list(world.get("run_task", ()))
        self.instances = [self._instance(item) for item in world["instances"]]
        named = {name for batch in self.batches for name in batch.get("tasks", ())}
        self.batch_tasks = {item["id"]: item for item in self._written_tasks() if item["id"] in named}
        self.tasks: list[Shown] = []
        if not self.first:
            self.tasks += self._old_tasks()
        for item in self._written_tasks():
            if item["id"] not in named:
                self.tasks.append(self._task(item))
        self._place()

    @property
    def t(self) -> float:
        """Return the seconds since zero."""
        return self.now - self.origin

    def is_in(self, item: Mapping[str, Any]) -> bool:
        """Does a fault or patch hold now? One with a time holds only after zero."""
        begin, end = item.get("from", LONG_AGO), item.get("until", NEVER)
        if begin >= 0 and not self.started:
            return False
        return begin <= self.t < end

    @contextmanager
    def seen_as(self, operation: str) -> Iterator[None]:
        """Show what was true at an earlier second, where the world says that this operation lags."""
        lag = next((i for i in self.world.get("lags", ()) if operation in _named(i) and self.is_in(i)), None)
        if lag is None:
            yield
            return
        now, started = self.now, self.started
        self.now, self.started = self.origin + lag["shows"], started and lag["shows"] >= 0
        try:
            yield
        finally:
            self.now, self.started = now, started

    def patched(self, operation: str, answer: Any) -> Any:
        """Return the answer with the world's own words laid over it."""
        for patch in self.world.get("patch", ()):
            if operation not in _named(patch) or not self.is_in(patch):
                continue
            answer = copy.deepcopy(answer)
            for path, value in patch.get("set", {}).items():
                _put(answer, path.split("."), value if not isinstance(value, str) else self._text(value))
            for path in patch.get("drop", ()):
                _put(answer, path.split("."), ...)
        return answer


def _put(body: Any, path: Sequence[str], value: Any) -> None:
    """Set, or with `...` drop, what a path names; `*` is every item of a list."""
    head, rest = path[0], path[1:]
    if isinstance(body, list):
        keys: list[Any] = list(range(len(body))) if head == "*" else [int(head)]
        keys = [key for key in keys if key < len(body)]
    else:
        keys = [head]
    for key in reversed(keys):
        if rest:
            if body is not None and (isinstance(body, list) or key in body):
                _put(body[key], rest, value)
        elif value is ...:
            if isinstance(body, list):
                del body[key]
            else:
                body.pop(key, None)
        else:
            body[key] = value


def _named(item: Mapping[str, Any]) -> list[str]:
    """Return the operations that a patch or a lag is for."""
    return item["of"] if isinstance(item["of"], list) else [item["of"]]
