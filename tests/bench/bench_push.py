"""Ratios of credentials and pushes in one run: tokens per hour, calls of a re-run, bytes of a code change."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from docker_services import blob_bytes, busybox_context, docker_services
from program import deploy, image, run
from sandbox_process import sandbox_thread
from worlds import ROLE, github_world

HOURS = 5.5
IMAGE_BYTES = 100_000_000


def credentials(folder: Path) -> None:
    """A rollout of many hours: tokens and STS calls per hour (at most 1, beside the first)."""
    world = github_world()
    world["images"].append({"image": "ki-rag-api:slow", "load_seconds": HOURS * 3600})
    world["services"][0]["healthCheckGracePeriodSeconds"] = 24 * 3600
    with sandbox_thread(json.dumps(world)) as sandbox:
        flags = (
            "--image",
            image("slow"),
            "--timeout",
            "12h",
            "--poll-interval",
            "60",
            "--role-to-assume",
            ROLE,
        )
        ran = deploy(sandbox, folder, *flags, **sandbox.announcement["github_environment"])
    assert ran.exit_code == 0, ran.shown
    hours = ran.result["duration_seconds"] / 3600
    calls = ran.result["api_calls"]
    tokens, sessions = calls["github.GetToken"], calls["sts.AssumeRoleWithWebIdentity"]
    print(f"credentials: {tokens} tokens and {sessions} STS calls in {hours:.2f} h, the first ones included")
    assert max(tokens, sessions) - 1 <= hours


def rerun(folder: Path) -> None:
    """An image that is there: calls, and no Docker."""
    (folder / "Dockerfile").write_text("FROM scratch\n")
    with sandbox_thread() as sandbox:
        flags = ("--repository", "ki-rag-api", "--image-tag", "good", "--push-latest", "true")
        began = time.perf_counter()
        ran = run(sandbox, folder, "push", *flags, PATH="/nowhere")
        took = time.perf_counter() - began
    assert ran.exit_code == 0, ran.shown
    calls = sum(ran.result["api_calls"].values())
    print(f"re-run on an existing image, latest moved: {calls} API calls, 0 Docker calls, {took:.2f} s")
    assert calls <= 5


def code_only_change(folder: Path) -> None:
    """Bytes that reach the registry for a change of the code."""
    world = github_world()
    world["repositories"] = ["rag"]
    with docker_services(folder) as services:
        world["registry"] = services.world_registry
        with sandbox_thread(json.dumps(world)) as sandbox:
            context = busybox_context(folder / "context", dockerfile="COPY model.bin /m\nCOPY app.py /a\n")
            (context / "model.bin").write_bytes(os.urandom(IMAGE_BYTES))
            sizes, times = [0], []
            for number in range(2):
                (context / "app.py").write_text(f"print({number})\n" * 500)
                flags = ("--repository", "rag", "--context", "context", "--image-tag", f"v{number}")
                began = time.perf_counter()
                ran = run(sandbox, folder, "push", *flags, **services.environment)
                times.append(time.perf_counter() - began)
                assert ran.exit_code == 0, ran.shown
                sizes.append(blob_bytes(services))
    whole, more = sizes[1], sizes[2] - sizes[1]
    print(
        f"code-only change: {more / 1e3:.1f} kB of {whole / 1e6:.0f} MB pushed ({more / whole:.3%}); "
        f"first push {times[0]:.1f} s, second {times[1]:.1f} s"
    )
    assert more / whole < 0.01


if __name__ == "__main__":
    for part in (credentials, rerun, code_only_change):
        with tempfile.TemporaryDirectory(prefix="b") as name:
            try:
                part(Path(name))
            except pytest.skip.Exception as reason:
                print(f"{part.__name__}: skipped, {reason}")
