"""The events of the service: written ones, and those that follow from written tasks and phases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scripted_names import LONG_AGO, NEVER, OTHERS, OURS, SERVICE, TARGET_GROUP, hexed, listed


class Events:
    """The events of the service: written ones, and those that follow from written tasks and phases."""

    def _events(self) -> list[dict[str, Any]]:
        t = self.t
        lines: list[tuple[float, str]] = [
            (self.old["at"] + 300, f"(service {SERVICE}) has reached a steady state.")
        ]
        if self.world.get("auto_events", True):
            lines += self._events_of_tasks()
            lines += self._events_of_phases()
        lines += [(float(at), self._text(text)) for at, text in self.world.get("events", ())]
        lines = [line for line in lines if line[0] <= t and (self.started or line[0] < 0)]
        lines.sort(key=lambda line: -line[0])
        return [{"id": hexed(f"{at}{text}"), "createdAt": at, "message": text} for at, text in lines[:100]]

    def _text(self, text: str) -> str:
        names = {
            "{S}": SERVICE,
            "{N}": f"ecs-svc/{OURS}",
            "{O}": f"ecs-svc/{self.old['number']}",
            "{X}": f"ecs-svc/{OTHERS}",
            "{TG}": TARGET_GROUP,
        }
        for name, value in names.items():
            text = text.replace(name, value)
        for task in self.tasks:
            text = text.replace(f"{{{task.written['id']}}}", task.id)
        for instance in self.instances:
            text = text.replace(f"{{{instance['id']}}}", hexed(instance["id"]))
        return text

    def _events_of_tasks(self) -> Iterator[tuple[float, str]]:
        started: dict[float, list[str]] = {}
        left: dict[float, list[str]] = {}
        for task in self.tasks:
            if self._group(task) != f"service:{SERVICE}":
                continue
            if task.created > LONG_AGO and task.how != "no_room":
                started.setdefault(task.created, []).append(task.id)
            if task.how in {"scaled_in", "elb", "check"} and task.leave < NEVER:
                left.setdefault(task.leave, []).append(task.id)
            if task.how == "elb" and task.leave < NEVER:
                why = task.written.get("elb")
                text = why if isinstance(why, str) else "Health checks failed with these codes: [503]"
                yield (
                    task.leave - 1,
                    (
                        f"(service {SERVICE}) (task {task.id}) (port 8000) is unhealthy in "
                        f"(target-group {TARGET_GROUP}) "
                        f"due to (reason {text})."
                    ),
                )
            if task.how == "check" and task.leave < NEVER:
                yield task.leave - 1, f"(service {SERVICE}) (task {task.id}) failed container health checks."
            if self.service["lb"] and LONG_AGO < task.start < task.leave and task.start < NEVER:
                yield (
                    task.start + 2,
                    f"(service {SERVICE}) registered 1 targets in (target-group {TARGET_GROUP})",
                )
            if self.service["lb"] and task.start < task.leave < NEVER:
                yield (
                    task.leave,
                    f"(service {SERVICE}) deregistered 1 targets in (target-group {TARGET_GROUP})",
                )
                yield task.leave, f"(service {SERVICE}) has begun draining connections on 1 tasks."
        for at, ids in started.items():
            yield (
                at,
                f"(service {SERVICE}) has started {len(ids)} tasks: {listed(ids)}.",
            )
        for at, ids in left.items():
            yield (
                at,
                f"(service {SERVICE}) has stopped {len(ids)} running tasks: {listed(ids)}.",
            )

    def _events_of_phases(self) -> Iterator[tuple[float, str]]:
        for phase in self.phases:
            at, extra = phase["at"], phase.get("event")
            match phase["phase"]:
                case "done":
                    late = at + phase.get("event_after", 0)
                    yield late, f"(service {SERVICE}) (deployment ecs-svc/{OURS}) deployment completed."
                    yield late, f"(service {SERVICE}) has reached a steady state."
                case "rolling_back":
                    why = extra or "tasks failed to start"
                    yield at, f"(service {SERVICE}) (deployment ecs-svc/{OURS}) deployment failed: {why}."
                    yield (
                        at + 0.001,
                        f"(service {SERVICE}) rolling back to deployment ecs-svc/{self.old['number']}.",
                    )
                case "rolled_back":
                    number = self.old["number"]
                    yield at, f"(service {SERVICE}) (deployment ecs-svc/{number}) deployment completed."
                    yield at + 0.001, f"(service {SERVICE}) has reached a steady state."
                case "failed" | "rollback_failed":
                    why = extra or "tasks failed to start"
                    yield at, f"(service {SERVICE}) (deployment ecs-svc/{OURS}) deployment failed: {why}."
                case "superseded_done":
                    yield at, f"(service {SERVICE}) (deployment ecs-svc/{OTHERS}) deployment completed."
