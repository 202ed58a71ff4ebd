"""A world run for real: the scripted AWS over HTTP, the program as a process, and how it ended."""

from __future__ import annotations

import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripted_aws import ScriptedAws
from scripted_names import CLUSTER, OURS, REGION, REGISTRY, SERVICE, hexed

LIMIT = 240
"""Seconds after which a program that hangs is killed."""
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
"""With it each process compiles the program anew, which takes a fifth of a world's time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the program ended; `cpu` and `wall` are what the process took, in real seconds."""

    code: int
    shown: str
    result: Mapping[str, Any]
    summary: str
    cpu: float
    wall: float


def arguments(world: Mapping[str, Any]) -> list[str]:
    """Return the command line of a world."""
    command, *flags = shlex.split(world["run"].replace("@OURS@", hexed(f"sd{OURS}", 21)))
    named = [f"--cluster={CLUSTER}"]
    if command != "run-task" and "--task" not in world["run"]:
        named.append(f"--service={SERVICE}")
    if command == "deploy" and world.get("image", "v2"):
        tag = world.get("image", "v2")
        named.append(f"--image={tag if '/' in tag else f'{REGISTRY}/rag:{tag}'}")
    if command == "deploy" and len(world["containers"]) > 1 and "--container" not in world["run"]:
        named.append("--container=rag")
    if command == "run-task":
        named += ["--task-definition=job:1", "--subnets=subnet-0123456789abcdef0"]
    if world.get("bare"):
        named = []
    return [command, *named, *flags, "--result-file=result.json"]


def settings_of(aws: ScriptedAws) -> dict[str, str]:
    """Return the variables with which the program finds the scripted AWS and its clock."""
    return {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_ENDPOINT_URL": aws.endpoint,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": REGION,
        "ECS_GPU_DEPLOY_CLOCK": f"{aws.endpoint}/_clock",
    }


def run(aws: ScriptedAws, world: Mapping[str, Any], folder: Path) -> Ended:
    """Run the program in *folder* against the world."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "GITHUB_", "CI_", "RUNNER_", "ECS_GPU_DEPLOY"))
        and name != NO_BYTECODE
    }
    environment = kept | {
        **settings_of(aws),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        **world.get("environment", {}),
    }
    began, used = time.perf_counter(), _children()
    with subprocess.Popen(
        [sys.executable, "-m", "ecs_gpu_deploy", *arguments(world)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        if "cancel" in world:
            second, name = (
                world["cancel"] if isinstance(world["cancel"], list) else (world["cancel"], "SIGINT")
            )
            aws.cancel_at, aws.on_cancel = second, lambda: process.send_signal(signal.Signals[name])
        try:
            shown = process.communicate(timeout=LIMIT)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    file, summary = folder / "result.json", folder / "summary.md"
    return Ended(
        code=process.returncode,
        shown=shown,
        result=json.loads(file.read_text(encoding="utf-8")) if file.exists() else {},
        summary=summary.read_text(encoding="utf-8") if summary.exists() else "",
        cpu=_children() - used,
        wall=time.perf_counter() - began,
    )


def _children() -> float:
    """Return the CPU seconds of all processes of ours that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
