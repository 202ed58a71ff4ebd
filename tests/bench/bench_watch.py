"""How the wait behaves: calls, how soon a verdict comes, memory over six hours, wall time on a stepped clock.

calls    over all scenarios that take more than a minute: API calls for 3 s of waiting, median and worst
rates    the same, ten times over (ten watchers), as a share of AWS's sustained rates (docs/aws-facts.md,
         #request-throttling)
verdict  seconds between AWS's own end of the deployment and our verdict, worst
memory   resident memory of a deploy after one and after six hours of virtual waiting
wall     a rollout of about twenty minutes against `sandbox serve --speed stepped`, in wall seconds

With --quick only memory and wall.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from program import image
from sandbox_process import clean_environment, sandbox_process
from scenario_run import run, scenarios
from worlds import default_world

WATCHERS = 10
ROUNDS = 3
SUSTAINED = {
    "deployments": (20.0, {"ListServiceDeployments", "DescribeServiceDeployments"}),
    "services": (20.0, {"DescribeServices", "ListServices"}),
    "tasks": (
        20.0,
        {"ListTasks", "DescribeTasks", "ListContainerInstances", "DescribeContainerInstances"},
    ),
}
"""Refill per second and account of the operations that share a bucket (page "Request throttling")."""


def watched_scenarios():
    """Print calls, rates and the lateness of the verdict over the scenarios."""
    per_3_s, late, shares, walls = [], [], {name: [] for name in SUSTAINED}, []
    for scenario in scenarios():
        if "cancel" in scenario:
            continue
        with tempfile.TemporaryDirectory() as folder:
            ran = run(scenario, Path(folder))
        walls.append(ran.wall_seconds)
        faulty = scenario.get("world", {}).keys() & {"faults", "deny"}
        if ran.after_aws is not None and not faulty:
            late.append((ran.after_aws, scenario["scenario"]))
        if ran.waited < 60:
            continue
        per_3_s.append((3 * len(ran.calls) / ran.waited, scenario["scenario"]))
        counted = Counter(call.partition(".")[2] for call in ran.calls)
        for name, (refill, operations) in SUSTAINED.items():
            calls = sum(counted[operation] for operation in operations)
            shares[name].append(100 * WATCHERS * calls / ran.waited / refill)
    worst = max(per_3_s)
    print(
        f"calls: {statistics.median(value for value, _ in per_3_s):.2f} for 3 s at the median of "
        f"{len(per_3_s)} scenarios (limit 1), {worst[0]:.2f} at the worst ({worst[1]})"
    )
    for name, values in shares.items():
        print(
            f"rates: {WATCHERS} watchers use {statistics.median(values):.0f} % of the rate for {name} at the "
            f"median (limit 20 %), {max(values):.0f} % at the worst"
        )
    print(f"verdict: at most {max(late)[0]:.1f} s after AWS (limit 6): {max(late)[1]}")
    print(f"wall: {statistics.median(walls):.2f} s a scenario at the median")


def deploy(environment, tag, *flags):
    """Start a deploy of the tag as a process."""
    command = ["-m", "ecs_gpu_deploy", "deploy", "--cluster=ki-cluster", "--service=ki-rag-api"]
    return subprocess.Popen(
        [sys.executable, *command, f"--image={image(tag)}", *flags],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def resident_megabytes(pid):
    """Return the resident memory of a process (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory():
    """Print the resident memory after one and after six hours of a crash loop that nobody ends."""
    world = default_world()
    world["services"][0]["deploymentConfiguration"]["deploymentCircuitBreaker"]["enable"] = False
    with tempfile.TemporaryDirectory() as folder, sandbox_process(world, folder=Path(folder)) as sandbox:
        began = sandbox.now()
        result = f"--result-file={folder}/r.json"
        flags = ["--timeout=7h", "--crash-loop-threshold=100000", "--poll-interval=15s", result]
        process = deploy(clean_environment(sandbox), "bad", *flags)
        seen = {}
        try:
            while process.poll() is None and 6 not in seen:
                hours = (sandbox.now() - began) / 3600
                for hour in (1, 3, 6):
                    if hours >= hour and hour not in seen:
                        seen[hour] = resident_megabytes(process.pid)
                time.sleep(0.02)
        finally:
            process.kill()
            process.wait()
    told = ", ".join(f"{megabytes:.1f} MB after {hour} h" for hour, megabytes in seen.items())
    print(f"memory: {told} of a crash loop (virtual hours)")


def seconds_of_a_refusal(environment):
    """Return the wall time of the program's start, first calls and end: the image is not there."""
    began = time.perf_counter()
    deploy(environment, "no-such-tag").wait()
    return time.perf_counter() - began


def wall():
    """Print the wall time of a rollout of about twenty minutes."""
    world = default_world()
    world["services"][0]["healthCheckGracePeriodSeconds"] = 1800
    world["images"].append({"image": "ki-rag-api:twenty", "layers": [{"mb": 4000}], "load_seconds": 1090})
    with tempfile.TemporaryDirectory() as folder, sandbox_process(world, folder=Path(folder)) as sandbox:
        environment = clean_environment(sandbox)
        deploy(environment, "good").wait()  # moto loads its services
        start = seconds_of_a_refusal(environment)
        for number in range(ROUNDS):
            began = time.perf_counter()
            process = deploy(environment, "twenty", f"--result-file={folder}/r.json")
            process.wait()
            seconds = time.perf_counter() - began
            result = json.loads(Path(folder, "r.json").read_text(encoding="utf-8"))
            minutes, calls = result["duration_seconds"] / 60, sum(result["api_calls"].values())
            print(
                f"wall: run {number + 1}: {minutes:.1f} virtual minutes in {seconds - start:.2f} s (limit 1)"
                f" after a start of {start:.2f} s, {calls} calls, {result['outcome']}"
            )


def main():
    wall()
    memory()
    if "--quick" not in sys.argv:
        watched_scenarios()


if __name__ == "__main__":
    main()
