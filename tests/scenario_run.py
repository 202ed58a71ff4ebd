"""One scenario, run for real: its world served over HTTP, the program as a process, what came of it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ecs_gpu_deploy.sandbox.world.world import World
from forked_program import started
from sandbox_process import RunningSandbox, clean_environment, sandbox_thread
from worlds import default_world

FOLDER = Path(__file__).parent / "scenarios"
REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/ki-rag-api"
POLL_INTERVAL = 5.0
Scenario = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a scenario went. Times are seconds; `after_aws` is how long AWS's own end was known before ours.

    `calls` are the operations in their order, `times` when they came in the model's time.
    """

    exit_code: int
    shown: str
    result: Mapping[str, Any]
    calls: tuple[str, ...]
    times: tuple[float, ...]
    service: Mapping[str, Any]
    after_aws: float | None
    wall_seconds: float
    summary: str

    @property
    def waited(self) -> float:
        """Return the seconds that the command took, by the model's clock."""
        return float(self.result["duration_seconds"])


def scenarios() -> Iterator[Scenario]:
    """Give every scenario of every file."""
    for path in sorted(FOLDER.glob("*.yml")):
        yield from yaml.safe_load(path.read_text(encoding="utf-8"))


def merged(old: Any, new: Any) -> Any:
    """Return *old* with *new* laid over it: mappings are merged, everything else is replaced."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{key: merged(old.get(key), value) for key, value in new.items()}}


def world_of(differences: Mapping[str, Any]) -> dict[str, Any]:
    """Return the default world with the differences of a scenario.

    `service`, `target_group` and `container` are merged into the one there is (null removes), `images` and
    `more_services` are added, any other member replaces the default's.
    """
    world = default_world()
    rest = dict(differences)
    world["services"][0] = _without_null(merged(world["services"][0], rest.pop("service", {})))
    world["target_groups"][0] = merged(world["target_groups"][0], rest.pop("target_group", {}))
    containers = world["task_definitions"][0]["containerDefinitions"]
    containers[0] = _without_null(merged(containers[0], rest.pop("container", {})))
    world["images"] += rest.pop("images", [])
    world["services"] += rest.pop("more_services", [])
    return {**world, **rest}


def _without_null(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _without_null(each) for key, each in value.items() if each is not None}


def flags_of(deploy: Mapping[str, Any]) -> Iterator[str]:
    """Give the command line for the `deploy` of a scenario; an image without a registry is a tag of ours."""
    for name, value in deploy.items():
        if name == "image":
            yield from ("--image", value if "/" in value else f"{REGISTRY}:{value}")
        else:
            yield from (f"--{name}", str(value).lower() if isinstance(value, bool) else str(value))


def run(scenario: Scenario, folder: Path) -> Ran:
    """Run the scenario with its result and summary in *folder*."""
    document = world_of(scenario.get("world", {}))
    with sandbox_thread(World.from_document(document, name="scenario")) as sandbox:
        result_file, summary = folder / "result.json", folder / "summary.md"
        flags = {"cluster": "ki-cluster", "service": "ki-rag-api", **scenario["deploy"]}
        before = len(sandbox.calls())
        began = time.monotonic()
        exit_code, shown = _program(
            [*flags_of(flags), "--result-file", str(result_file)],
            clean_environment(sandbox, GITHUB_STEP_SUMMARY=str(summary)),
            scenario.get("cancel"),
        )
        wall = time.monotonic() - began
        calls = sandbox.calls()[before:]
        assert result_file.exists(), shown
        result = json.loads(result_file.read_text(encoding="utf-8"))
        after_aws = _after_aws(sandbox, result)
        sandbox.ask("DELETE", "faults")
        with sandbox.client() as ecs:
            [service] = ecs.describe_services(cluster="ki-cluster", services=["ki-rag-api"])["services"]
    return Ran(
        exit_code=exit_code,
        shown=shown,
        result=result,
        calls=tuple(f"{call['service']}.{call['operation']}" for call in calls),
        times=tuple(float(call["at"]) for call in calls),
        service=service,
        after_aws=after_aws,
        wall_seconds=wall,
        summary=summary.read_text(encoding="utf-8"),
    )


def _program(
    flags: list[str], environment: Mapping[str, str], cancel: Mapping[str, Any] | None
) -> tuple[int, str]:
    """Run deploy to its end; where it is to be cancelled, send the signals once it has said so much."""
    with started(["deploy", *flags], Path.cwd(), environment) as process:
        if cancel:
            # The program then hangs in a call that the scenario slows down: nothing else can come first.
            process.wait_until_said(cancel["after"])
            for name in cancel["signals"]:
                process.send_signal(signal.Signals[f"SIG{name}"])
        ended = process.wait((cancel or {}).get("within", 120))
    return ended.code, ended.shown


def _after_aws(sandbox: RunningSandbox, result: Mapping[str, Any]) -> float | None:
    """Return the seconds between AWS's end of our deployment and ours; None where AWS did not end it."""
    arn = result["service_deployment_arn"]
    if not arn or result["outcome"] not in {"succeeded", "rolled_back"}:
        return None
    now = sandbox.now()
    sandbox.ask("DELETE", "faults")
    with sandbox.client() as ecs:
        [deployment] = ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"]
    ended = deployment.get("finishedAt")
    return None if ended is None else now - float(ended.timestamp())
