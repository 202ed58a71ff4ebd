"""`sandbox demo --docker` with the example service, on a daemon of the tests' own.

`python -m story.small_demo [--or-skip]`: where its parts are missing it says so and ends with 2, or 0 with
the flag; in CI with 1. Nothing is asked of a package index: the wheels lie beside the Dockerfile.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from docker_daemon import NO_INDEX, base_image, make_context

from docker_services import daemon
from story.__main__ import store
from story.stage import ROOT, why_not

OFFLINE = "debian-python:offline"
WANTED = (
    "Verdict: succeeded",
    "cause: out-of-memory",
    "Still answers: version 0.2.0.",
    "tasks that fail to start",
    " 0 failed.",
)


def main(arguments: list[str]) -> int:
    """Show the demo; 0 where it went as told."""
    missing = why_not()
    if missing:
        print(f"The demo with Docker needs real parts, and here they cannot be had: {missing}")
        return 1 if os.environ.get("CI") == "true" else 0 if "--or-skip" in arguments else 2
    kept = store()
    with tempfile.TemporaryDirectory() as folder, daemon(kept / "docker") as environment:
        context = Path(folder, "service")
        context.mkdir()
        make_context(context, kept / "wheels")
        shutil.copytree(ROOT / "example-service" / "documents", context / "documents")
        base = _offline(Path(folder, "base"), base_image(kept / "base", environment), environment)
        began = time.monotonic()
        flags = ["--context", str(context), "--build-arg", f"BASE={base}", "--build-network", "none"]
        ran = subprocess.run(
            [sys.executable, "-m", "ecs_gpu_deploy", "sandbox", "demo", "--docker", *flags],
            cwd=folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
    took = time.monotonic() - began
    lost = [words for words in WANTED if words not in ran.stdout]
    if ran.returncode or lost:
        print(ran.stdout + ran.stderr)
        print(f"FAILED: the demo with Docker ended with {ran.returncode} after {took:.0f} s; it lacks {lost}")
        return 1
    print(f"The demo with Docker and the small model: {took:.0f} s, as it should be.")
    return 0


def _offline(folder: Path, base: str, environment: Mapping[str, str]) -> str:
    """Make an image of *base* whose pip asks no index; return its name."""
    folder.mkdir()
    (folder / "pip.conf").write_text(NO_INDEX)
    (folder / "Dockerfile").write_text(f"FROM {base}\nCOPY pip.conf /etc/pip.conf\n")
    build = ["docker", "build", "--quiet", "--tag", OFFLINE, str(folder)]
    subprocess.run(build, env={**environment, "DOCKER_BUILDKIT": "1"}, check=True, capture_output=True)
    return OFFLINE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
