"""A world run for real: the scripted AWS over HTTP, the program as a process, and how it ended."""

from __future__ import annotations

import json
import os
import shlex
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripted_aws import ScriptedAws
from scripted_names import CLUSTER, OURS, REGION, REGISTRY, SERVICE, hexed

from forked_program import started

LIMIT = 240
"""Seconds after which a program that hangs is killed."""
NOT_KEPT = ("AWS_", "GITHUB_", "CI_", "RUNNER_", "ECS_GPU_DEPLOY")


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
    if command in {"deploy", "plan"} and world.get("image", "v2"):
        tag = world.get("image", "v2")
        named.append(f"--image={tag if '/' in tag else f'{REGISTRY}/rag:{tag}'}")
    if command in {"deploy", "plan"} and len(world["containers"]) > 1 and "--container" not in world["run"]:
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
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(NOT_KEPT)},
        **settings_of(aws),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        **world.get("environment", {}),
    }
    for name, text in world.get("files", {}).items():
        (folder / name).write_text(text, encoding="utf-8")
    began = time.perf_counter()
    with started(arguments(world), folder, environment) as process:
        if "cancel" in world:
            second, name = (
                world["cancel"] if isinstance(world["cancel"], list) else (world["cancel"], "SIGINT")
            )
            aws.cancel_at, aws.on_cancel = second, lambda: process.send_signal(signal.Signals[name])
        ended = process.wait(LIMIT)
    file, summary = folder / "result.json", folder / "summary.md"
    return Ended(
        code=ended.code,
        shown=ended.shown,
        result=json.loads(file.read_text(encoding="utf-8")) if file.exists() else {},
        summary=summary.read_text(encoding="utf-8") if summary.exists() else "",
        cpu=ended.cpu,
        wall=time.perf_counter() - began,
    )
