"""Real Docker for tests: a daemon and a registry on loopback, started here and ended here.

Where something is missing the tests are skipped with the reason; under CI=true they fail.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

NEEDED = {
    "docker": "docker.io",
    "dockerd": "docker.io",
    "docker-registry": "docker-registry",
    "htpasswd": "apache2-utils",
    "skopeo": "skopeo",
    "busybox": "busybox-static",
    "ip": "iproute2",
}
BUILDX = "DOCKER_BUILDX"
"""Names the plugin's binary; .ci/run takes it out of a package of Debian's."""
USERNAME = "AWS"
PASSWORD = "s3cret-registry-password-of-the-run"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Debian's own client comes first: the one that builds with BuildKit without buildx."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """A daemon and a registry; `environment` is what the program under test needs to find the daemon."""

    socket: Path
    registry: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def world_registry(self) -> dict[str, str]:
        """The sandbox's `registry` member."""
        return {"endpoint": f"http://{self.registry}", "username": USERNAME, "password": PASSWORD}

    def docker(self, *arguments: str) -> str:
        """Run the client; return its output."""
        return output("docker", *arguments, env=self.environment)

    def inspected(self, image: str, *arguments: str) -> str:
        """Read an image back from the registry with skopeo, which knows nothing of Docker."""
        return output(
            "skopeo",
            "inspect",
            "--tls-verify=false",
            "--creds",
            f"{USERNAME}:{PASSWORD}",
            *arguments,
            f"docker://{self.registry}/{image}",
            env=self.environment,
        )


def buildx_home(folder: Path) -> Path:
    """Make a home folder whose Docker has the plugin buildx; skip, in CI fail, where there is none."""
    binary = os.environ.get(BUILDX, "")
    if not binary or not Path(binary).is_file():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{BUILDX} names no plugin: .ci/run installs it")
        pytest.skip(f"{BUILDX} names no plugin")
    plugins = folder / ".docker" / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-buildx").symlink_to(binary)
    return folder


def output(*command: str, env: dict[str, str] | None = None) -> str:
    """Run a command that must succeed; return what it printed."""
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def unmet() -> str:
    """Say why Docker cannot be had here; nothing where it can."""
    missing = [package for command, package in NEEDED.items() if shutil.which(command, path=PATH) is None]
    if missing:
        return f"missing Debian packages: {', '.join(sorted(set(missing)))}"
    return "a Docker daemon of our own needs root" if os.geteuid() != 0 else ""


def require_docker() -> None:
    """Skip with the reason where Docker cannot be had; under CI that is a failure."""
    reason = unmet()
    if not reason:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"Docker is not skipped in CI: {reason}")
    pytest.skip(reason)


def end_leftover(pid_file: Path, mark: str) -> None:
    """End, by its id, what a killed run left: the process of *pid_file*, if *mark* is an argument of it."""
    try:
        number = int(pid_file.read_text())
        arguments = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return
    if mark.encode() not in arguments:
        return
    os.kill(number, signal.SIGTERM)
    for wait in range(400):
        if not Path(f"/proc/{number}").exists():
            return
        if wait == 300:
            os.kill(number, signal.SIGKILL)
        time.sleep(0.1)
    raise AssertionError(f"process {number} of an earlier run does not end")


@contextmanager
def process(command: list[str], log: Path, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that writes to *log*, and end it: politely, then for good."""
    with log.open("wb") as stream:
        started = subprocess.Popen(command, stdout=stream, stderr=stream, **options)  # type: ignore[call-overload]
    with started:
        try:
            yield started
        finally:
            started.send_signal(signal.SIGTERM)
            try:
                started.wait(timeout=20)
            except subprocess.TimeoutExpired:
                started.kill()


def free_port() -> int:
    """Return a port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def unmounted(folder: Path) -> Iterator[None]:
    """Afterwards unmount what a daemon left mounted below *folder*, so that it can be removed."""
    try:
        yield
    finally:
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed([mount for mount in mounts if mount.startswith(f"{folder}/")]):
            subprocess.run(["umount", "--lazy", mount], check=False)


@contextmanager
def folder_of_sockets(folder: Path) -> Iterator[Path]:
    """Give a daemon's --exec-root: below *folder*, unless its sockets' paths would pass 107 characters.

    Then it is one of the same name for the same *folder*, and removed: a killed run leaves one at most.
    """
    if len(f"{folder}/exec/containerd/containerd.sock.ttrpc") <= 107:
        yield folder / "exec"
        return
    short = Path(tempfile.gettempdir()) / f"docker-{hashlib.sha256(bytes(folder)).hexdigest()[:12]}"
    try:
        with unmounted(short):
            yield short
    finally:
        shutil.rmtree(short, ignore_errors=True)


@contextmanager
def daemon(
    folder: Path, *, environment: dict[str, str] | None = None, flags: tuple[str, ...] = ()
) -> Iterator[dict[str, str]]:
    """Run a Docker daemon with all it has in *folder*; give the client's environment."""
    folder.mkdir(parents=True, exist_ok=True)
    end_leftover(folder / "pid", f"{folder}/data")
    host = f"unix://{folder}/docker.sock"
    command = ["dockerd", "--data-root", f"{folder}/data", "-H", host]
    command += [
        "--pidfile",
        f"{folder}/pid",
        "--iptables=false",
        "--ip6tables=false",
        "--bridge=none",
        *flags,
    ]
    variables = {"PATH": PATH, "HOME": str(folder), "DOCKER_HOST": host}
    with (
        unmounted(folder),
        folder_of_sockets(folder) as running_in,
        process(
            [*command, "--exec-root", str(running_in)],
            folder / "dockerd.log",
            env={"PATH": PATH, **(environment or {})},
        ) as running,
    ):
        for _ in range(300):
            ready = subprocess.run(["docker", "version"], env=variables, capture_output=True, check=False)
            if ready.returncode == 0:
                break
            assert running.poll() is None, (folder / "dockerd.log").read_text()[-2000:]
            time.sleep(0.1)
        else:
            raise AssertionError((folder / "dockerd.log").read_text()[-2000:])
        yield variables


@contextmanager
def registry(folder: Path, *, port: int = 0, tls: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Run Debian's docker-registry with a password; give its address."""
    folder.mkdir(parents=True, exist_ok=True)
    end_leftover(folder / "pid", str(folder / "config.yml"))
    port = port or free_port()
    hashed = subprocess.run(
        ["htpasswd", "-iBn", USERNAME], input=PASSWORD, capture_output=True, text=True, check=True
    ).stdout.strip()
    (folder / "htpasswd").write_text(hashed + "\n")
    secure = f"\n  tls: {{certificate: {tls[0]}, key: {tls[1]}}}" if tls else ""
    (folder / "config.yml").write_text(
        f"""version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {folder}/storage}}
http:
  addr: 127.0.0.1:{port}{secure}
auth:
  htpasswd: {{realm: registry, path: {folder}/htpasswd}}
"""
    )
    command = ["docker-registry", "serve", str(folder / "config.yml")]
    with process(
        command, folder / "registry.log", env={"PATH": PATH, "OTEL_TRACES_EXPORTER": "none"}
    ) as running:
        (folder / "pid").write_text(str(running.pid))
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert running.poll() is None, (folder / "registry.log").read_text()
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"


@contextmanager
def docker_services(folder: Path, *flags: str) -> Iterator[Services]:
    """Run both; the flags are the daemon's."""
    require_docker()
    with ExitStack() as stack:
        environment = stack.enter_context(daemon(folder / "docker", flags=flags))
        address = stack.enter_context(registry(folder / "registry"))
        yield Services(
            socket=folder / "docker" / "docker.sock",
            registry=address,
            folder=folder,
            environment=environment,
        )


def blob_bytes(services: Services) -> int:
    """Return the bytes of all blobs that the registry holds."""
    blobs = services.folder / "registry" / "storage" / "docker" / "registry" / "v2" / "blobs"
    return sum(path.stat().st_size for path in blobs.rglob("data")) if blobs.exists() else 0


def answers(address: str) -> int:
    """Return the status with which a registry answers without a password."""
    try:
        with urllib.request.urlopen(f"http://{address}/v2/", timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def busybox_context(folder: Path, *, dockerfile: str = "", **files: str) -> Path:
    """Make a build context whose base is a static shell, so that nothing has to be pulled."""
    folder.mkdir(parents=True, exist_ok=True)
    shell = shutil.which("busybox", path=PATH)
    assert shell is not None
    shutil.copy(shell, folder / "busybox")
    text = dockerfile or "COPY app.py /app.py\n"
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY busybox /bin/sh\nSHELL ["/bin/sh", "-c"]\n' + text)
    for name, content in {"app_py": "print('hello')\n", **files}.items():
        (folder / name.replace("_", ".")).write_text(content)
    return folder
