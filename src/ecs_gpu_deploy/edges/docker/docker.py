"""Docker: log in, build, push. Its output is shown line by line, its failures are told in one sentence.

First the build, then the push: with buildx the second command finds every step in the builder's cache. So
who failed is known from the command, and from the step that BuildKit names. No secret is ever an argument:
passwords go through standard input, build secrets through the environment; both are cut out of the output,
and so is what secret files hold.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import tenacity

from ecs_gpu_deploy.core.definition.secret_text import hidden
from ecs_gpu_deploy.core.image.build_failure import (
    Blame,
    Failure,
    build_failure,
    is_not_there,
    login_failure,
    push_failure,
)
from ecs_gpu_deploy.core.image.build_flags import Builder, check_builder, flags_in_help, flags_of_push
from ecs_gpu_deploy.core.judge.pace import HEARTBEAT_SECONDS
from ecs_gpu_deploy.edges.aws.ecr_repository import Login
from ecs_gpu_deploy.edges.docker.config import DockerConfig, UsersConfig
from ecs_gpu_deploy.edges.docker.environment import docker_environment
from ecs_gpu_deploy.edges.docker.output import PlainBuild, PlainText, PushProgress, RawJson, Reading
from ecs_gpu_deploy.edges.docker.process import run_client
from ecs_gpu_deploy.edges.docker.secrets import passwords_in, secret_texts
from ecs_gpu_deploy.edges.machine.clock import Clock
from ecs_gpu_deploy.errors import DeployError, InvalidInput, Refused

PUSH_ATTEMPTS: Final = 4
RENEW_BEFORE_SECONDS: Final = 900.0
_VARIABLE: Final = "ECS_GPU_DEPLOY_BUILD_SECRET_"
_RAW_JSON_SINCE: Final = (0, 13)
_DIGEST: Final = re.compile(r"\bdigest: (sha256:[0-9a-f]{64})\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What to build. `secrets` are id → value, `secret_files` id → path; `tag` is a full reference.

    `flags` are further ones of the builder, each as --flag or --flag=value.
    """

    context: str
    tag: str
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
    contexts: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    ssh: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    provenance: str = "false"
    sbom: bool = False

    @property
    def attests(self) -> bool:
        """Say whether the image gets attestations, and so becomes an index."""
        return self.sbom or self.provenance != "false"


class Docker:
    """The Docker command line, or Podman's under its name, with the run's own configuration or the user's."""

    def __init__(
        self,
        config: DockerConfig | UsersConfig,
        *,
        clock: Clock,
        show: Callable[[str], None],
        mask: Callable[[str], None] = lambda _: None,
        environment: Mapping[str, str] = os.environ,
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        """Say what goes on after *heartbeat* seconds of silence; *mask* hides a text from the whole log."""
        self._config = config
        self._clock = clock
        self._show = show
        self._mask = mask
        self._given = environment
        self._heartbeat = heartbeat
        self._hidden: set[str] = set()
        self._good_until = 0.0

    def check(self) -> None:
        """Raise InvalidInput where Docker is missing or its daemon does not answer."""
        if shutil.which("docker", path=self._given.get("PATH")) is None:
            raise InvalidInput(
                "Docker is missing: there is no command `docker`.",
                hint="Build on a runner that has Docker, or build elsewhere and give the image.",
            )
        code, lines = self._asked("version", "--format", "{{.Server.Version}}")
        if code:
            raise InvalidInput(
                f"Docker's daemon does not answer: {lines[-1] if lines else f'exit code {code}'}",
                hint="Start it, check DOCKER_HOST, and that this user may use its socket.",
            )

    def check_build(self, build: Build) -> None:
        """Raise InvalidInput where *build* needs more than the builder here can do."""
        wanted = _wanted(build)
        if wanted or build.flags:
            check_builder(self._builder(), wanted, build.flags)
        if self._buildx is not None:
            return
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

    def _builder(self) -> Builder:
        """Return what builds here, and what it says that it can do."""
        version = ".".join(map(str, self._buildx or ()))
        name = f"buildx {version}" if version else "Podman" if self._is_podman else "plain Docker"
        asked = ("buildx", "build", "--help") if self._buildx is not None else ("build", "--help")
        _, lines = self._asked(*asked, more={"DOCKER_BUILDKIT": "1"})
        is_docker_driver = self._buildx is not None and self._driver == "docker"
        return Builder(
            name=name,
            is_buildx=self._buildx is not None,
            known=flags_in_help(lines),
            attests=self._buildx is not None and (not is_docker_driver or self._has_image_store),
            is_docker_driver=is_docker_driver,
        )

    def free_bytes(self) -> tuple[int, str]:
        """Return free bytes where Docker keeps its layers, and that folder; of a remote daemon, 0 and ""."""
        code, lines = self._asked("info", "--format", "{{.DockerRootDir}}")
        folder = lines[-1].strip() if lines and not code else ""
        if not folder or not Path(folder).is_dir():
            return 0, ""
        return shutil.disk_usage(folder).free, folder

    def login(self, login: Login) -> None:
        """Log in with the password on standard input, again where the registry is ill; raise Refused."""
        self._hide(login.password)
        self._config.keep_login_here(login.registry, with_podman=self._is_podman)
        command = ["login", "--username", login.username, "--password-stdin", login.registry]

        def attempt() -> Failure | None:
            code, lines = self._asked(*command, stdin=login.password)
            return login_failure(lines, registry=login.registry) if code else None

        self._tried(attempt)
        self._good_until = login.expires_at

    def build(self, build: Build) -> None:
        """Build, and push nothing.

        Raise InvalidInput where the image does not build, at once; a base image whose registry is ill is
        asked for again, and then Refused.
        """
        keys = {place: place for line in build.ssh for place in line.partition("=")[2].split(",") if place}
        for text in secret_texts(build.secrets, {**build.secret_files, **keys}):
            self._hide(text)
        for text in passwords_in((build.context, *build.contexts.values())):
            self._hide(text)
        command = ["build", "--progress", "plain"]
        if self._buildx is not None:
            # Docker's own builder hands the image to the daemon at no cost, where its configuration is read.
            is_handed_over = self._driver == "docker" and not build.attests
            output = ["--load"] if is_handed_over else ["--output", "type=cacheonly"]
            command = ["buildx", "build", "--progress", self._progress, *output]
            command += _buildx_flags(build)
        elif build.platforms != ("linux/amd64",):
            command += ["--platform", build.platforms[0]]
        command += ["--tag", build.tag, *_untagged_flags(build), *build.flags, build.context]
        self._tried(lambda: self._built(command, build))

    def push(self, build: Build, *, renew: Callable[[], Login]) -> frozenset[str]:
        """Push what was built, and return the digests of which one is the image's (none where nobody says).

        Where `pushes_by_digest` it gets no tag.
        Raise Refused where it may not be pushed. A push that broke is tried again with back-off; layers that
        arrived are not sent again. A login that is nearly over, or is said to be, is renewed.
        """
        digests: frozenset[str] = frozenset()
        renewed = False

        def attempt() -> Failure | None:
            nonlocal digests, renewed
            if self._clock.now() > self._good_until - RENEW_BEFORE_SECONDS:
                self.login(renew())
            push = self._push_with_buildx if self._buildx is not None else self._plain_push
            found = push(build)
            if isinstance(found, frozenset):
                digests = found
                return None
            if found.is_login and not renewed:
                renewed = True
                self.login(renew())
                found = push(build)
                if isinstance(found, frozenset):
                    digests = found
                    return None
            return found

        self._tried(attempt)
        return digests

    @property
    def pushes_by_digest(self) -> bool:
        """Say whether a push gives no tag: the builder keeps what it built, which is read after the push.

        Docker's own builder, and one that does not say what it is, cannot (buildx, build/opt.go).
        """
        return self._buildx is not None and self._driver not in {"", "docker"}

    def image_config(self, reference: str) -> Mapping[str, Any] | None:
        """Return the configuration of an image that was pushed; None where it cannot be read."""
        found = self._told_as_json("image", "inspect", "--format", "{{json .Config}}", reference)
        if found is None and self._buildx is not None:
            asked = ("buildx", "imagetools", "inspect", "--format", "{{json .Image.Config}}", reference)
            found = self._told_as_json(*asked)
        return found

    def built_config(self, build: Build) -> Mapping[str, Any] | None:
        """Return the configuration of the image just built; None where the builder (buildx) keeps it."""
        found = self._told_as_json("image", "inspect", "--format", "{{json .Config}}", build.tag)
        # An older image may have the tag.
        if found is None or not build.labels.items() <= (found.get("Labels") or {}).items():
            return None
        return found

    def _told_as_json(self, *arguments: str) -> dict[str, Any] | None:
        code, lines = self._asked(*arguments)
        with contextlib.suppress(ValueError):
            told = json.loads("\n".join(lines)) if not code else None
            return told if isinstance(told, dict) else None
        return None

    @cached_property
    def _buildx(self) -> tuple[int, int] | None:
        """The plugin's version, (0, 0) where it does not say; None where it is not there.

        Podman answers the same question with its own name, and its `buildx build` pushes nothing.
        """
        code, lines = self._asked("buildx", "version")
        text = " ".join(lines)
        if code or "buildx" not in text or self._is_podman:
            return None
        found = re.search(r"\bv?(\d+)\.(\d+)\.\d+", text)
        return (int(found[1]), int(found[2])) if found else (0, 0)

    @cached_property
    def _driver(self) -> str:
        """Return what kind of builder buildx uses (docker, docker-container, remote …); "" where unknown."""
        _, lines = self._asked("buildx", "inspect")
        found = re.search(r"^Driver:[ \t]*(\S+)", "\n".join(lines), re.MULTILINE)
        return found[1] if found else ""

    @cached_property
    def _has_image_store(self) -> bool:
        """Say whether the daemon keeps images in containerd's store, which holds attestations as well."""
        _, lines = self._asked("info", "--format", "{{json .DriverStatus}}")
        return any("io.containerd.snapshotter" in line for line in lines)

    @cached_property
    def _is_podman(self) -> bool:
        _, lines = self._asked("--version")
        return any("podman" in line.lower() for line in lines)

    @property
    def _progress(self) -> str:
        return "rawjson" if (self._buildx or (0, 0)) >= _RAW_JSON_SINCE else "plain"

    def _built(self, command: Sequence[str], build: Build, *, pushes: bool = False) -> Failure | None:
        reading = RawJson(self._redacted) if "rawjson" in command else PlainBuild(self._redacted)
        more = {**_secret_variables(build), "DOCKER_BUILDKIT": "1"}
        code = self._run(command, reading, more=more, caches=(*build.cache_from, *build.cache_to))
        log = reading.ended(code) if isinstance(reading, PlainBuild) else reading.log()
        if not code:
            return None
        file = Path(build.dockerfile or Path(build.context) / "Dockerfile")
        text = ""
        with contextlib.suppress(OSError, ValueError):
            text = file.read_text(encoding="utf-8")
        return build_failure(
            log,
            code=code,
            dockerfile=text,
            name=file.name,
            again=build_again(build),
            pushes=pushes,
        )

    def _push_with_buildx(self, build: Build) -> frozenset[str] | Failure:
        with tempfile.TemporaryDirectory(prefix="buildx-") as folder:
            metadata = Path(folder) / "metadata.json"
            command = ["buildx", "build", "--progress", self._progress]
            command += _by_digest(build) if self.pushes_by_digest else ["--push"]
            command += ["--metadata-file", str(metadata), *_buildx_flags(build)]
            command += [part for ref in build.cache_to for part in ("--cache-to", ref)]
            command += [] if self.pushes_by_digest else ["--tag", build.tag]
            command += [*_untagged_flags(build), *flags_of_push(build.flags), build.context]
            failure = self._built(command, build, pushes=True)
            if failure is not None:
                return failure
            with contextlib.suppress(OSError, ValueError, AttributeError):
                told = json.loads(metadata.read_text(encoding="utf-8")).get("containerimage.digest")
                return frozenset({told} if isinstance(told, str) else ())
        return frozenset()

    def _plain_push(self, build: Build) -> frozenset[str] | Failure:
        if self._is_podman:
            return self._push_with_podman(build)
        reading = PushProgress(self._redacted)
        if self._run(["push", build.tag], reading, is_terminal=True):
            return push_failure(tuple(reading.lines), what=build.tag)
        told = [found[1] for line in reading.lines if (found := _DIGEST.search(line))]
        return frozenset(told[-1:]) or self._kept_digests(build.tag)

    def _push_with_podman(self, build: Build) -> frozenset[str] | Failure:
        """Push with Podman, which writes the digest to a file; its RepoDigests may be of other pushes."""
        reading = PlainText(self._redacted)
        with tempfile.TemporaryDirectory(prefix="podman-") as folder:
            file = Path(folder) / "digest"
            if self._run(["push", "--digestfile", str(file), build.tag], reading):
                return push_failure(tuple(reading.lines), what=build.tag)
            with contextlib.suppress(OSError):
                if told := file.read_text(encoding="utf-8").strip():
                    return frozenset({told})
        return self._kept_digests(build.tag)

    def _kept_digests(self, tag: str) -> frozenset[str]:
        """Return every digest under which the client knows the image in this repository."""
        code, lines = self._asked("image", "inspect", "--format", '{{join .RepoDigests "\\n"}}', tag)
        name = tag.rpartition(":")[0]
        found = (line.partition("@")[2] for line in lines if not code and line.startswith(f"{name}@"))
        return frozenset(digest for digest in found if digest)

    def _tried(self, attempt: Callable[[], Failure | None]) -> None:
        """Make the attempt, again with back-off where it may pass; raise what it ended with."""

        def again(state: tenacity.RetryCallState) -> None:
            wait = state.next_action.sleep if state.next_action else 0.0
            failure = state.outcome.result() if state.outcome else None
            what = f"{failure.message.rstrip('.')}. " if failure else ""
            self._show(f"{what}Trying again in {wait:.0f} s.")

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda failure: failure is not None and failure.may_pass),
            wait=tenacity.wait_random_exponential(multiplier=2, max=30),
            stop=tenacity.stop_after_attempt(PUSH_ATTEMPTS),
            sleep=self._clock.sleep,
            before_sleep=again,
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        failure = retrying(attempt)
        if failure is not None:
            raise _error_of(failure)

    def _asked(
        self, *arguments: str, stdin: str | None = None, more: Mapping[str, str] = {}
    ) -> tuple[int, list[str]]:
        """Run the client without showing its output; return exit code and last lines."""
        reading = PlainText(self._redacted)
        code = self._run(arguments, reading, stdin=stdin, more=more, quiet=True)
        return code, list(reading.lines)

    def _run(
        self,
        arguments: Sequence[str],
        reading: Reading,
        *,
        stdin: str | None = None,
        more: Mapping[str, str] = {},
        caches: tuple[str, ...] = (),
        quiet: bool = False,
        is_terminal: bool = False,
    ) -> int:
        environment = docker_environment(self._given, needs_aws=self._config.asks_aws, caches=caches)
        return run_client(
            ["docker", *arguments],
            environment={**environment, **self._config.variables, **more},
            reading=reading,
            show=(lambda _: None) if quiet else self._show,
            note_group=self._config.note_group,
            heartbeat=self._heartbeat,
            stdin=stdin,
            is_terminal=is_terminal,
        )

    def _hide(self, text: str) -> None:
        self._hidden.add(text)
        self._mask(text)

    def _redacted(self, line: str) -> str:
        for secret in sorted(self._hidden, key=len, reverse=True):
            line = line.replace(secret, "***")
        return line


def _error_of(failure: Failure) -> DeployError:
    """Return the error: what a user can correct is bad input, what others refused or broke is not."""
    code = str(failure.blame)
    message = failure.message
    if failure.may_pass:
        message = f"{message.rstrip('.')} ({PUSH_ATTEMPTS} attempts)."
    is_input = failure.blame in {Blame.BUILD, Blame.RUNNER}
    if failure.blame is Blame.BASE:
        is_input = is_not_there(failure) and not failure.may_pass
    kind = InvalidInput if is_input else Refused
    return kind(message, hint=failure.hint, diagnosis_code=code, evidence=failure.evidence)


def _buildx_flags(build: Build) -> list[str]:
    flags = ["--platform", ",".join(build.platforms)]
    flags += [f"--provenance={build.provenance}", *(["--sbom=true"] if build.sbom else [])]
    return flags + [part for ref in build.cache_from for part in ("--cache-from", ref)]


def _wanted(build: Build) -> dict[str, str]:
    """Return those flags that not every builder has, with the input that asks for them."""
    asked = {
        "annotation": ("annotations", bool(build.annotations)),
        "build-context": ("build-contexts", bool(build.contexts)),
        "ssh": ("ssh", bool(build.ssh)),
        "provenance": ("provenance", build.provenance != "false"),
        "sbom": ("sbom", build.sbom),
    }
    return {flag: name for flag, (name, is_asked) in asked.items() if is_asked}


def _by_digest(build: Build) -> list[str]:
    """Return what pushes without a tag (Docker Docs, "Distribute build across multiple runners")."""
    name = build.tag.rpartition(":")[0]
    return ["--output", f"type=image,name={name},push-by-digest=true,name-canonical=true,push=true"]


def _untagged_flags(build: Build) -> list[str]:
    flags = ["--file", build.dockerfile] if build.dockerfile else []
    flags += ["--target", build.target] if build.target else []
    flags += ["--network", build.network] if build.network else []
    for name, value in build.arguments.items():
        flags += ["--build-arg", f"{name}={value}"]
    for name, value in build.labels.items():
        flags += ["--label", f"{name}={value}"]
    for flag, pairs in (("--annotation", build.annotations), ("--build-context", build.contexts)):
        flags += [part for name, value in pairs.items() for part in (flag, f"{name}={value}")]
    flags += [part for line in build.ssh for part in ("--ssh", line)]
    for number, name in enumerate(build.secrets):
        flags += ["--secret", f"id={name},env={_VARIABLE}{number}"]
    for name, path in build.secret_files.items():
        flags += ["--secret", f"id={name},src={path}"]
    return flags


def build_again(build: Build) -> str:
    """Return the command that builds it by hand: values of arguments and secrets come from variables.

    A password in the address of a context is not shown.
    """
    flags = [*_untagged_flags(replace(build, arguments={}, labels={}, secrets={})), *build.flags]
    flags += [part for name in build.arguments for part in ("--build-arg", name)]
    secrets = {name: re.sub(r"\W", "_", name) for name in build.secrets}
    flags += [part for name, own in secrets.items() for part in ("--secret", f"id={name},env={own}")]
    command = shlex.join(map(hidden, ["docker", "build", *flags, build.context]))
    names = ", ".join((*build.arguments, *secrets.values()))
    return f"{command}  # with {names} in the environment" if names else command


def _secret_variables(build: Build) -> dict[str, str]:
    return {f"{_VARIABLE}{number}": value for number, value in enumerate(build.secrets.values())}
