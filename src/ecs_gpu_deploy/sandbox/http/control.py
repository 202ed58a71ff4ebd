"""The sandbox's own endpoints under `/_sandbox/`: clock, world, faults, calls, state. JSON in and out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.sandbox.protocol.calls import json_of
from ecs_gpu_deploy.sandbox.world.state import Sandbox
from ecs_gpu_deploy.sandbox.world.world import World

Answer = tuple[int, Mapping[str, Any] | list[Any]]


def control_answer(sandbox: Sandbox, method: str, path: str, query: str, body: bytes) -> Answer:
    """Answer one request; 400 with one sentence for what is wrong, 404 for an unknown endpoint."""
    try:
        with sandbox.lock:
            return _answer(sandbox, method, path.removeprefix("/_sandbox/"), query, body)
    except InvalidInput as error:
        return 400, {"error": str(error)}


def _answer(sandbox: Sandbox, method: str, name: str, query: str, body: bytes) -> Answer:
    match method, name:
        case "GET", "clock":
            sandbox.catch_up()
            return 200, clock_view(sandbox)
        case "POST", "clock":
            seconds = _document(body).get("advance")
            if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < 1e9:
                raise InvalidInput('Send {"advance": SECONDS} with a number of seconds from 0 on.')
            sandbox.step(float(seconds))
            return 200, clock_view(sandbox)
        case "POST", "world":
            sandbox.catch_up()
            sandbox.add(World.from_document(_document(body), name="(request)"))
            return 200, {}
        case "POST", "faults":
            document = _document(body, list_member="faults")
            sandbox.catch_up()
            sandbox.add(World.from_document(document, name="(request)"))
            return 200, {}
        case "DELETE", "faults":
            sandbox.faults.clear()
            return 200, {}
        case "GET", "calls":
            chosen = {key: values[-1] for key, values in parse_qs(query).items()}
            kept = sandbox.calls.kept(service=chosen.get("service"), operation=chosen.get("operation"))
            return 200, {"calls": kept}
        case "DELETE", "calls":
            sandbox.calls.clear()
            return 200, {}
        case "GET", "blob":
            wanted = parse_qs(query).get("digest", [""])[-1]
            found = sandbox.neighbours.images.config(wanted)
            return (200, found) if found is not None else (404, {"error": f"There is no blob {wanted[:80]}."})
        case "GET", "state":
            sandbox.catch_up()
            return 200, sandbox.summary()
        case _:
            return 404, {
                "error": f"There is no {method} /_sandbox/{name}: ask for clock, world, faults, calls, state."
            }


def clock_view(sandbox: Sandbox) -> dict[str, Any]:
    """Describe the clock: model time, mode, speed (model seconds per wall second; 0 where it is stepped)."""
    clock = sandbox.clock
    return {"now": clock.now(), "mode": clock.mode, "speed": clock.speed}


def _document(body: bytes, *, list_member: str = "") -> dict[str, Any]:
    try:
        document = json_of(body)
    except ValueError as error:
        raise InvalidInput("The request body is not JSON.") from error
    if isinstance(document, list) and list_member:
        return {list_member: document}
    if not isinstance(document, dict):
        raise InvalidInput("The request body must be a JSON object.")
    return document
