"""Time plan: `python tests/bench/bench_plan.py`.

Prints the API calls (bound: 25) and CPU seconds (bound: 2) of `plan` on 100 instances and 30 services, the
calls that a preflight adds to a deploy, and the milliseconds of a prediction of 100 tasks (bound: 200).
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "unit")]

from rollout_worlds import PLAIN, begun, scene_of  # noqa: E402

from ecs_gpu_deploy.forecast.prediction import predict  # noqa: E402
from ecs_gpu_deploy.sandbox.world.world import World  # noqa: E402
from program import run  # noqa: E402
from sandbox_process import clean_environment, sandbox_thread  # noqa: E402
from scenario_run import REGISTRY, world_of  # noqa: E402

CASE = replace(PLAIN, desired=100, spare=20, load=240.0)


def prediction_of_100_tasks() -> float:
    """Return the milliseconds of the quickest of three predictions."""
    world = begun(CASE)
    assert world is not None
    scene = scene_of(CASE, *world)
    best = 1e9
    for _ in range(3):
        began = time.process_time()
        found = predict(replace(scene), now=world[0].now)
        best = min(best, time.process_time() - began)
    assert found.ends == "succeeds", found.ends
    return best * 1000


def plan_on_a_large_cluster() -> tuple[int, float]:
    """Return the calls to AWS and the CPU seconds of the program with its start."""
    others = [
        {
            "serviceName": f"other-{number}",
            "taskDefinition": "ki-rag-api",
            "desiredCount": 2,
            "launchType": "EC2",
        }
        for number in range(29)
    ]
    document = world_of(
        {"instances": [{"type": "g5.xlarge", "count": 100, "availability_zones": ["a", "b"]}]}
    )
    document["services"] = [*document["services"], *others]
    with (
        sandbox_thread(World.from_document(document, name="large")) as sandbox,
        tempfile.TemporaryDirectory() as folder,
    ):
        words = f"plan --cluster ki-cluster --service ki-rag-api --image {REGISTRY}:good".split()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "ecs_gpu_deploy", *words, "--result-file", "result.json"],
            cwd=folder,
            env=clean_environment(sandbox),
            stdout=subprocess.DEVNULL,
            check=True,
        )
        result = json.loads((Path(folder) / "result.json").read_text(encoding="utf-8"))
        assert result["plan"]["capacity"]["fit"] == "fits", result
        assert len(result["plan"]["capacity"]["instances"]) == 100
        calls = sum(result["api_calls"].values())
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return calls, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def calls_of_a_preflight() -> int:
    """Return the calls to AWS of a deploy with a preflight less those of one without."""
    flags = ("--cluster", "ki-cluster", "--service", "ki-rag-api", "--image", f"{REGISTRY}:good")
    calls = {}
    for mode in ("off", "warn"):
        with sandbox_thread() as sandbox, tempfile.TemporaryDirectory() as folder:
            ran = run(sandbox, Path(folder), "deploy", *flags, "--preflight", mode, "--wait", "false")
            assert ran.exit_code == 0, ran.shown
            calls[mode] = sum(ran.result["api_calls"].values())
    return calls["warn"] - calls["off"]


if __name__ == "__main__":
    calls, cpu = plan_on_a_large_cluster()
    print(f"plan on 100 instances and 30 services: {calls} calls, {cpu:.2f} s of CPU")
    print(f"a preflight of a deploy: {calls_of_a_preflight()} calls more")
    print(f"prediction of 100 tasks: {prediction_of_100_tasks():.0f} ms")
