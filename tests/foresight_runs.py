"""Rollouts of the local AWS, each foreseen by `plan` and then carried out by `deploy`.

Real HTTP, model time, worlds by a seeded generator: nothing but plan and deploy sees what they hold.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecs_gpu_deploy.sandbox.world.world import World
from program import REGISTRY
from program_here import run_here
from sandbox_process import RunningSandbox, clean_environment, sandbox_thread
from scenario_run import world_of

SEED = 20261127
WORLDS = 24
_BASE = [{"name": "python", "mb": 48}, {"name": "wheels", "mb": 3900}, {"name": "model", "mb": 940}]
_GPU_TYPES = ("g5.xlarge", "g5.xlarge", "g4dn.xlarge", "g5.12xlarge")
_LOCAL = ["--cluster", "ki-cluster", "--service", "ki-rag-api"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One rollout: what `plan` foresaw, in seconds from the update, and what came of `deploy`.

    `guessed` are the durations that it depends on and that were not seen before: a guess, and said to be.
    """

    world: str
    number: int
    fit: str
    foreseen: str
    seconds: float
    guessed: tuple[str, ...]
    outcome: str
    took: float

    @property
    def off(self) -> float:
        """Return by which share the prediction is long; of one of no end, nothing."""
        return (self.seconds - self.took) / self.took if self.fit != "never" else 0.0

    @property
    def is_right(self) -> bool:
        """Say whether the end was foreseen within a tenth or 15 seconds; of none, that there was none."""
        if self.fit == "never":
            return self.foreseen != "succeeds" and self.outcome in {"no_capacity", "failed", "rolled_back"}
        ended = {"succeeds": "succeeded", "rolls back": "rolled_back"}.get(self.foreseen)
        return ended == self.outcome and abs(self.seconds - self.took) <= max(15.0, self.took / 10)


def worlds(number: int, *, seed: int = SEED) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give so many worlds, each with a name that tells what is special: the same ones for the same seed."""
    for each in range(number):
        yield _world(random.Random(seed + each))


def _world(choice: random.Random) -> tuple[str, Mapping[str, Any]]:
    kind = choice.choice(_GPU_TYPES)
    gpus = 4 if kind == "g5.12xlarge" else 1
    desired = choice.randint(1, 6)
    minimum, maximum = choice.choice([(100, 200)] * 4 + [(100, 150), (50, 100), (50, 200), (0, 100)])
    balanced, checked = choice.choice(
        [(True, True), (True, True), (True, False), (False, True), (False, False)]
    )
    shape = choice.choice(["plain"] * 4 + ["cached", "scales", "awsvpc", "blue-green", "daemon"])
    load, interval = choice.choice([20, 60, 95, 200, 420]), choice.choice([5, 10, 15, 30])
    stop = choice.choice([1, 1, 12, 40])
    needed = -(-desired // gpus)
    spare = choice.randint(0 if minimum < 100 else 1, max(1, needed))
    layers = [*_BASE, {"name": "code-v1", "mb": 2}]
    images = {
        "v1": layers,
        "code": [*_BASE, {"name": "code-2", "mb": 2}],
        "model": [
            *_BASE[:2],
            {"name": "model-2", "mb": choice.choice([700, 2700])},
            {"name": "code-3", "mb": 2},
        ],
        "fresh": [{"name": "other", "mb": choice.choice([900, 5200])}],
    }
    behaves = {
        "load_seconds": load,
        "stop_seconds": stop,
        "start_seconds": choice.choice([2, 3, 8]),
    }
    instance: dict[str, Any] = {
        "type": kind,
        "availability_zones": ["a", "b"],
        "bandwidth_mb": choice.choice([60, 125, 300]),
    }
    if shape == "cached":
        instance["cached_images"] = ["ki-rag-api:v1"]
    check = None
    if checked:
        check = {
            "command": ["CMD", "true"],
            "interval": choice.choice([5, 10, 30]),
            "timeout": 5,
            "retries": 10,
            "startPeriod": min(300, load + 60),
        }
    service: dict[str, Any] = {
        "desiredCount": desired,
        "healthCheckGracePeriodSeconds": load + 120,
        "deploymentConfiguration": {"minimumHealthyPercent": minimum, "maximumPercent": maximum},
    }
    if not balanced:
        service |= {"loadBalancers": None, "healthCheckGracePeriodSeconds": None}
    world: dict[str, Any] = {
        "seed": choice.randint(1, 10_000),
        "instances": [{**instance, "count": needed + spare}],
        "service": service,
        "target_group": {
            "HealthCheckIntervalSeconds": interval,
            "HealthCheckTimeoutSeconds": 4,
            "Attributes": {"deregistration_delay.timeout_seconds": choice.choice([0, 30, 60, 120])},
        },
        "container": {"healthCheck": check},
        "images": [
            {"image": f"ki-rag-api:{tag}", "layers": parts, **behaves} for tag, parts in images.items()
        ],
    }
    rolling = service["deploymentConfiguration"]
    if shape == "scales":
        world["instances"] = []
        provider = {"name": "gpu", "default": True, "managed_scaling": True, "instances": instance}
        sizes = {"min_size": needed, "max_size": needed + spare}
        world["capacity_providers"] = [provider | sizes | {"launch_seconds": choice.choice([90, 180, 300])}]
        strategy = [{"capacityProvider": "gpu", "weight": 1}]
        service |= {"launchType": None, "capacityProviderStrategy": strategy}
    if shape == "blue-green" and balanced:
        rolling |= {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 1}
        world["instances"][0]["count"] = 2 * needed
    if shape == "daemon":
        del service["desiredCount"]
        service |= {"schedulingStrategy": "DAEMON", "placementStrategy": None}
        rolling |= {"minimumHealthyPercent": choice.choice([0, 50]), "maximumPercent": 100}
    if shape == "awsvpc":
        world["container"]["portMappings"] = [{"containerPort": 8000, "protocol": "tcp"}]
        world["target_group"]["TargetType"] = "ip"
        world["definition"] = {"networkMode": "awsvpc"}
        service["networkConfiguration"] = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}
    name = (
        f"{shape} {kind} {desired}x {minimum}/{maximum} balanced {balanced} checked {checked} load {load} "
        f"stop {stop} spare {spare}"
    )
    return name, world


def looks(name: str, world: Mapping[str, Any], folder: Path) -> Iterator[Looked]:
    """Foresee and carry out four rollouts of a world, one after the other; one where it never fits."""
    document = world_of(world)
    named = {image["image"] for image in world["images"]}
    own = [image for image in document["images"] if image["image"] not in named]
    document["images"] = [*own, *world["images"]]
    document["task_definitions"][0] |= document.pop("definition", {})
    with sandbox_thread(World.from_document(document, name="foresight")) as sandbox:
        for number, tag in enumerate(("code", "model", "code", "fresh")):
            sandbox.advance(900.0)
            looked = _look(name, number, tag, sandbox, folder)
            yield looked
            if looked.fit == "never":
                return


def _look(name: str, number: int, tag: str, sandbox: RunningSandbox, folder: Path) -> Looked:
    flags = [*_LOCAL, "--image", f"{REGISTRY}:{tag}"]
    plan = _ran("plan", flags, sandbox, folder)["plan"]
    done = _ran("deploy", flags, sandbox, folder)
    capacity, predicted = plan["capacity"], plan["predicted"]
    decisive = {"pull", "start", "load"}
    decisive |= {"launch"} if capacity["launches"] else set()
    # Where a new task may wait for the room of an old one.
    waits = capacity["fit"] in {"crawls", "scales"} or "must stop first" in capacity["why"]
    decisive |= {"stop"} if waits else set()
    return Looked(
        world=name,
        number=number,
        fit=capacity["fit"],
        foreseen=predicted["ends"],
        seconds=predicted["seconds"],
        guessed=tuple(
            name
            for name, each in predicted["durations"].items()
            if name in decisive and "not seen" in each["source"]
        ),
        outcome=done["outcome"],
        took=_took(sandbox, done),
    )


def _ran(command: str, flags: list[str], sandbox: RunningSandbox, folder: Path) -> Mapping[str, Any]:
    result_file = folder / f"{command}.json"
    words = [command, *flags, "--result-file", str(result_file)]
    _, shown = run_here(words, clean_environment(sandbox), folder)
    (folder / f"{command}.txt").write_text(shown, encoding="utf-8")
    result: Mapping[str, Any] = json.loads(result_file.read_text(encoding="utf-8"))
    assert "This is a bug of ours" not in shown, shown
    return result


def _took(sandbox: RunningSandbox, result: Mapping[str, Any]) -> float:
    """Return the seconds from the update to AWS's end of the deployment; where it has none, to ours."""
    if not result["service_deployment_arn"]:
        return float(result["duration_seconds"])
    with sandbox.client() as ecs:
        found = ecs.describe_service_deployments(serviceDeploymentArns=[result["service_deployment_arn"]])
    [deployment] = found["serviceDeployments"]
    ended = deployment.get("finishedAt")
    if ended is None:
        return float(result["duration_seconds"])
    return float((ended - deployment["createdAt"]).total_seconds())
