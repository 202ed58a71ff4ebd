"""Docker: log in, build, push. Its output is shown line by line, its failures are told in one sentence.

`docker buildx build --push` where buildx is there, BuildKit's plain `docker build` and `docker push` where
not. No secret is ever an argument: passwords go through standard input, build secrets through the
environment, both are cut out of the output.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import tenacity

from ecs_gpu_deploy.core.image.docker_output import (
    BuildFailure,
    build_failure,
    is_network_fault,
    push_refusal,
)
from ecs_gpu_deploy.edges.aws.ecr_repository import Login
from ecs_gpu_deploy.edges.docker.config import DockerConfig
from ecs_gpu_deploy.edges.machine.clock import Clock
from ecs_gpu_deploy.errors import InvalidInput, Refused

PUSH_ATTEMPTS: Final = 4
_TAIL: Final = 200
_VARIABLE: Final = "ECS_GPU_DEPLOY_BUILD_SECRET_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What to build. `secrets` are id → value, `secret_files` id → path; `tags` are full references."""

    context: str
    tags: tuple[str, ...]
    dockerfile: str = ""
    target: str = ""
    platforms: tuple[str, ...] = ("linux/amd64",)
    arguments: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret_files: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    network: str = ""
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    provenance: bool = False


class Docker:
    """The Docker command line, with a configuration of the run's own."""

    def __init__(
        self,
        config: DockerConfig,
        *,
        clock: Clock,
        show: Callable[[str], None],
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._config = config
        self._clock = clock
        self._show = show
        self._environment = {**environment, **config.variables}
        self._hidden: list[str] = []
        self._environment.pop("ACTIONS_ID_TOKEN_REQUEST_TOKEN", None)  # no build needs it

    def check(self) -> None:
        """Raise InvalidInput where Docker is missing or its daemon does not answer."""
        if shutil.which("docker", path=self._environment.get("PATH")) is None:
            raise InvalidInput(
                "Docker is missing: there is no command `docker`.",
                hint="Build on a runner that has Docker, or build elsewhere and give the image.",
            )
        code, lines = self._run(["docker", "version", "--format", "{{.Server.Version}}"], quiet=True)
        if code:
            raise InvalidInput(
                f"Docker's daemon does not answer: {lines[-1] if lines else f'exit code {code}'}",
                hint="Start it, check DOCKER_HOST, and that this user may use its socket.",
            )

    def has_buildx(self) -> bool:
        """Is the plugin buildx there?"""
        return self._run(["docker", "buildx", "version"], quiet=True)[0] == 0

    def free_bytes(self) -> tuple[int, str]:
        """Return free bytes where Docker keeps its layers, and that folder; of a remote daemon, 0 and ""."""
        code, lines = self._run(["docker", "info", "--format", "{{.DockerRootDir}}"], quiet=True)
        folder = lines[-1].strip() if lines and not code else ""
        if not folder or not Path(folder).is_dir():
            return 0, ""
        return shutil.disk_usage(folder).free, folder

    def login(self, login: Login) -> None:
        """Log in with the password on standard input; raise Refused."""
        self._hidden.append(login.password)
        self._config.forget_helper(login.registry)
        command = ["docker", "login", "--username", login.username, "--password-stdin", login.registry]
        code, lines = self._run(command, stdin=login.password, quiet=True)
        if code:
            raise Refused(
                f"The registry {login.registry} refused the login: {lines[-1] if lines else ''}",
                hint="ECR's password is good for twelve hours; check the account and the network.",
            )

    def build_and_push(self, build: Build) -> str:
        """Build, push every tag, and return the digest that Docker says it pushed ("" where it doesn't).

        Raise InvalidInput where the image does not build, Refused where it may not be pushed. A push that the
        network broke is tried again with back-off; layers that arrived are not sent again.
        """
        for value in build.secrets.values():
            self._hidden += [line for line in value.splitlines() if len(line) >= 4]
        if self.has_buildx():
            return self._with_buildx(build)
        if len(build.platforms) > 1:
            raise InvalidInput(
                f"platforms has {len(build.platforms)} platforms, and plain Docker builds one.",
                hint="Set up buildx (docker/setup-buildx-action) or choose one platform.",
            )
        if build.cache_to:
            raise InvalidInput(
                "cache needs buildx, which is not here.",
                hint="Set up buildx (docker/setup-buildx-action), or leave cache off.",
            )
        self._plain_build(build)
        return self._plain_push(build.tags)

    def _with_buildx(self, build: Build) -> str:
        with tempfile.TemporaryDirectory(prefix="buildx-") as folder:
            metadata = Path(folder) / "metadata.json"
            command = ["docker", "buildx", "build", "--push", "--metadata-file", str(metadata)]
            command += _common_flags(build)
            command += ["--platform", ",".join(build.platforms)]
            command += [f"--provenance={'true' if build.provenance else 'false'}"]
            command += [part for ref in build.cache_from for part in ("--cache-from", ref)]
            command += [part for ref in build.cache_to for part in ("--cache-to", ref)]
            self._pushed([*command, build.context], build, what="build and push the image")
            with contextlib.suppress(OSError, ValueError):
                return str(json.loads(metadata.read_text(encoding="utf-8")).get("containerimage.digest", ""))
        return ""

    def _plain_build(self, build: Build) -> None:
        command = ["docker", "build", *_common_flags(build)]
        command += ["--platform", build.platforms[0]] if build.platforms != ("linux/amd64",) else []
        environment = {**_secret_variables(build), "DOCKER_BUILDKIT": "1"}
        code, lines = self._run([*command, build.context], more=environment)
        if code:
            raise _build_error(lines, code)

    def _plain_push(self, tags: Sequence[str]) -> str:
        for tag in tags:
            self._pushed(["docker", "push", tag], None, what=f"push {tag}")
        code, lines = self._run(
            ["docker", "image", "inspect", "--format", '{{join .RepoDigests "\\n"}}', tags[0]], quiet=True
        )
        name = tags[0].rpartition(":")[0]
        found = (line.partition("@")[2] for line in lines if not code and line.startswith(f"{name}@"))
        return next(found, "")

    def _pushed(self, command: Sequence[str], build: Build | None, *, what: str) -> None:
        """Run a command that pushes, again where the network failed it."""
        environment = _secret_variables(build) if build else {}

        def attempt() -> tuple[int, list[str]]:
            return self._run(command, more=environment)

        def again(state: tenacity.RetryCallState) -> None:
            wait = state.next_action.sleep if state.next_action else 0.0
            self._show(f"the network failed; trying again in {wait:.0f} s")

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda ended: ended[0] != 0 and is_network_fault(ended[1])),
            wait=tenacity.wait_random_exponential(multiplier=2, max=30),
            stop=tenacity.stop_after_attempt(PUSH_ATTEMPTS),
            sleep=self._clock.sleep,
            before_sleep=again,
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else (1, []),
        )
        code, lines = retrying(attempt)
        if not code:
            return
        if refusal := push_refusal(lines):
            raise Refused(refusal.message, hint=refusal.hint)
        if build is not None and not is_network_fault(lines):
            raise _build_error(lines, code)
        if is_network_fault(lines):
            raise Refused(
                f"The network failed {PUSH_ATTEMPTS} attempts to {what}: {lines[-1]}",
                hint="Run the job again: layers that arrived are not sent again.",
            )
        if failure := build_failure(lines):
            raise InvalidInput(failure.message, hint=failure.hint)
        raise Refused(f"Docker could not {what}: {lines[-1] if lines else f'exit code {code}'}")

    def _run(
        self,
        command: Sequence[str],
        *,
        stdin: str | None = None,
        more: Mapping[str, str] = {},
        quiet: bool = False,
    ) -> tuple[int, list[str]]:
        """Run *command*, show its output unless *quiet*, and return exit code and last lines.

        It gets a process group of its own; where we are interrupted, it ends with us.
        """
        tail: deque[str] = deque(maxlen=_TAIL)
        try:
            process = subprocess.Popen(  # noqa: S603  (a list, no shell)
                list(command),
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**self._environment, **more},
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise InvalidInput(f"{command[0]} cannot be started: {error.strerror}.") from error
        self._config.note_group(process.pid)
        with process:
            try:
                if process.stdin is not None:
                    with contextlib.suppress(BrokenPipeError):
                        process.stdin.write(stdin or "")
                        process.stdin.close()
                for raw in process.stdout or ():
                    line = self._redacted(raw.rstrip("\r\n"))
                    if line.strip():
                        tail.append(line)
                        if not quiet:
                            self._show(line)
                return process.wait(), list(tail)
            except BaseException:
                _end(process)
                raise
            finally:
                self._config.note_group(None)

    def _redacted(self, line: str) -> str:
        for secret in self._hidden:
            line = line.replace(secret, "***")
        return line


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and what it started: politely, and after two seconds for good."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)
            return


def _common_flags(build: Build) -> list[str]:
    flags = ["--progress", "plain"]
    flags += [part for tag in build.tags for part in ("--tag", tag)]
    flags += ["--file", build.dockerfile] if build.dockerfile else []
    flags += ["--target", build.target] if build.target else []
    flags += ["--network", build.network] if build.network else []
    for name, value in build.arguments.items():
        flags += ["--build-arg", f"{name}={value}"]
    for name, value in build.labels.items():
        flags += ["--label", f"{name}={value}"]
    for number, name in enumerate(build.secrets):
        flags += ["--secret", f"id={name},env={_VARIABLE}{number}"]
    for name, path in build.secret_files.items():
        flags += ["--secret", f"id={name},src={path}"]
    return flags


def _secret_variables(build: Build) -> dict[str, str]:
    return {f"{_VARIABLE}{number}": value for number, value in enumerate(build.secrets.values())}


def _build_error(lines: Sequence[str], code: int) -> InvalidInput:
    failure = build_failure(lines) or BuildFailure(message=f"The image does not build (exit code {code}).")
    return InvalidInput(failure.message, hint=failure.hint)
