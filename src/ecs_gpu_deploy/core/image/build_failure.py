"""Who failed: the build, its base image, the push, the registry, the network, or this machine.

A build is told by the step that failed, never by the words which that step printed: those are evidence, and
decide at most the hint. Texts: Docker, BuildKit, Podman and Amazon ECR as they print them; several are in
github.com/aws/amazon-ecr and github.com/docker/build-push-action issues.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ecs_gpu_deploy.core.image.build_log import BuildLog, Step, line_of
from ecs_gpu_deploy.core.text import indented, plain

SHOWN_LINES: Final = 12
PUSH_ACTIONS: Final = (
    "ecr:GetAuthorizationToken (on *), and on the repository ecr:BatchCheckLayerAvailability, "
    "ecr:BatchGetImage, ecr:InitiateLayerUpload, ecr:UploadLayerPart, ecr:CompleteLayerUpload, ecr:PutImage"
)
FREE_DISK_HINT: Final = (
    "Free it before the build: sudo rm -rf /usr/share/dotnet /usr/local/lib/android /opt/ghc "
    "/opt/hostedtoolcache/CodeQL; docker system prune --all --force. Or use a larger runner."
)
_KILLED: Final = "137"
_KILLED_HINT: Final = (
    "Exit code 137 is SIGKILL: mostly the memory of the machine that builds ran out. Compile with fewer jobs "
    "at once (MAX_JOBS of PyTorch's extensions, make -j), or use a larger runner."
)
_PASSING: Final = re.compile(
    r"i/o timeout|TLS handshake timeout|connection reset|broken pipe|unexpected EOF|\bEOF\b"
    r"|context deadline exceeded|net/http: request canceled|client connection lost"
    r"|use of closed network connection|server closed idle connection|temporary failure in name resolution"
    r"|\b(?:500|502|503|504) (?:Internal Server Error|Bad Gateway|Service Unavailable|Gateway Time-?out)"
    r"|received unexpected HTTP status: 5\d\d|unexpected status[^\n]{0,200}: 5\d\d|failed with status: 5\d\d"
    r"|toomanyrequests|Rate exceeded|429 Too Many Requests|StatusCode: (?:5\d\d|408|429)",
    re.IGNORECASE,
)
_WITHOUT_PASSWORD: Final = re.compile(r"login attempt to \S+ failed with status: 401")
_UNREACHED: Final = re.compile(
    r"connection refused|no such host|network is unreachable|no route to host|server misbehaving",
    re.IGNORECASE,
)
_DISK_FULL: Final = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_OTHER_MACHINE: Final = re.compile(r"exec format error", re.IGNORECASE)
_DAEMON_GONE: Final = re.compile(
    r"cannot connect to the docker daemon|error during connect|error reading from server"
    r"|code = (?:Unavailable|Canceled) desc|failed to (?:get|dial) (?:builder|gRPC)|docker\.sock",
    re.IGNORECASE,
)
_TOO_OLD: Final = re.compile(r"unsupported frontend capability (\S+)")
_EXITED: Final = re.compile(r"(?:exit code:|exit status|non-zero code:) ?(\d+)\s*\Z")
"""How the error of a step ends whose command failed; before it stands the command: the Dockerfile's words."""
_PARSE_LINE: Final = re.compile(r"dockerfile parse error (?:on )?line (?P<line>\d+)", re.IGNORECASE)
_NOT_AUTHORIZED: Final = re.compile(r"not authorized to perform:? (?P<action>ecr:\w+)")
_EXPIRED: Final = re.compile(r"authorization token has expired|no basic auth credentials", re.IGNORECASE)
_REFUSED: Final = re.compile(
    r"\b(?:unauthorized|denied|forbidden)\b|authentication required|\b(?:400|401|403|404|405|409|413) [A-Z]"
    r"|unexpected (?:HTTP )?status[^\n]{0,300}: 4(?!08|29)\d\d|name invalid|manifest invalid|tag invalid"
    r"|StatusCode: 4(?!08|29)\d\d"
    r"|quota|limit exceeded|unsupported",
    re.IGNORECASE,
)
_NOT_THERE: Final = re.compile(
    r"not found|manifest unknown|does not exist|name unknown|no such image|no match for platform"
    r"|invalid reference format",
    re.IGNORECASE,
)


class Blame(StrEnum):
    """Who failed; also the code of the diagnosis (docs/push.md)."""

    BUILD = "image-build"
    BASE = "base-image"
    PUSH = "image-push"
    REGISTRY = "image-registry"
    NETWORK = "image-network"
    RUNNER = "image-runner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Who failed, in one sentence, what to do, and the last lines that prove it.

    `may_pass`: the same command may go well at the next attempt. `is_login`: a new login may help.
    """

    blame: Blame
    message: str
    hint: str
    evidence: tuple[str, ...] = ()
    may_pass: bool = False
    is_login: bool = False


def is_passing(lines: Sequence[str]) -> bool:
    """Say whether the end of what a registry or a network said may be gone at the next attempt."""
    return any(_PASSING.search(line) for line in lines[-5:])


def build_failure(
    log: BuildLog, *, code: int, dockerfile: str, name: str, again: str, pushes: bool = False
) -> Failure:
    """Return who failed a build that ended with the exit *code*.

    *dockerfile* is the text of the file *name*, "" where it is not at hand; *again* is the command that
    builds it elsewhere. A build that *pushes* was built before.
    """
    step = log.failed
    if step is None and pushes:
        return push_failure(log.lines, what="the image")
    if step is None:
        return _without_step(log, code=code, name=name, again=again)
    if step.base and not step.output:
        return _base_failure(step, dockerfile)
    if step.is_push or step.is_cache:
        return push_failure([*step.output, step.error], what="the cache" if step.is_cache else "the image")
    exited = _EXITED.search(step.error)
    if not exited and _DISK_FULL.search(step.error):
        return Failure(
            blame=Blame.RUNNER,
            message="The disk of the runner is full: no space left on device.",
            hint=FREE_DISK_HINT,
            evidence=_shown([step.error]),
        )
    instruction = step.instruction
    line = log.line or (line_of(dockerfile, instruction) if dockerfile and instruction else 0)
    where = f" ({name}:{line})" if line else f" ({name})"
    what = plain(instruction or step.name, limit=160)
    return Failure(
        blame=Blame.BUILD,
        message=f"The image does not build: {what}{where} failed: {_ending(step, code)}.",
        hint=_KILLED_HINT
        if exited and exited[1] == _KILLED
        else _build_hint(step.output if exited else (*step.output, step.error), again=again),
        evidence=_shown(step.output or (step.error,)),
    )


def _without_step(log: BuildLog, *, code: int, name: str, again: str) -> Failure:
    """Return the failure of a build that no step failed: the Dockerfile, the builder or its daemon did."""
    told = [line for line in log.lines if line.strip(" -")]
    last = plain(told[-1], limit=300) if told else f"exit code: {code}"
    joined = "\n".join(told[-SHOWN_LINES:])
    if found := _TOO_OLD.search(joined):
        return Failure(
            blame=Blame.RUNNER,
            message=f"The builder of Docker's daemon is too old for what is asked: it has no {found[1]}.",
            hint="Use a newer Docker, or a builder of buildx's own (docker/setup-buildx-action).",
            evidence=_shown(told),
        )
    if "buildx component is missing" in joined:
        return Failure(
            blame=Blame.RUNNER,
            message="This Docker cannot build with BuildKit: its plugin buildx is missing.",
            hint="Install buildx (docker/setup-buildx-action).",
            evidence=_shown(told),
        )
    if found := _PARSE_LINE.search(joined):
        what = plain(joined[found.end() :], limit=200).lstrip(": ")
        return Failure(
            blame=Blame.BUILD,
            message=f"The image does not build: {name}:{found['line']}: {what}.",
            hint="Correct the Dockerfile.",
            evidence=_shown(told),
        )
    if _DISK_FULL.search(joined):
        return Failure(
            blame=Blame.RUNNER,
            message="The disk of the runner is full: no space left on device.",
            hint=FREE_DISK_HINT,
            evidence=_shown(told),
        )
    if _DAEMON_GONE.search(joined):
        return Failure(
            blame=Blame.RUNNER,
            message=f"Docker's daemon or builder went away during the build: {last}",
            hint="Look at its log, and whether the runner's memory or disk ran out; then run the job again.",
            evidence=_shown(told),
        )
    return Failure(
        blame=Blame.BUILD,
        message=f"The image does not build: {last}",
        hint=_build_hint(told, again=again),
        evidence=_shown(told),
    )


def _base_failure(step: Step, dockerfile: str) -> Failure:
    base, error = step.base, plain(step.error, limit=300)
    said = error if error.startswith(base) else f"{base}: {error}"
    if _DISK_FULL.search(error):
        return Failure(
            blame=Blame.RUNNER,
            message="The disk of the runner is full: no space left on device.",
            hint=FREE_DISK_HINT,
            evidence=_shown([step.error]),
        )
    hint = "Try it later, or keep the base image in ECR (a pull-through cache)."
    if not _PASSING.search(error):
        hint = f"Check name and tag; where it is private, log in to {_registry_of(base)} before this step."
    if _UNREACHED.search(error):
        hint = f"Check the name, and whether this runner reaches {_registry_of(base)} (proxy, firewall, DNS)."
    stage = base.removeprefix("docker.io/library/").removesuffix(":latest")
    if re.search(rf"--from={re.escape(stage)}(?![\w./:@-])", dockerfile):
        hint = f"No stage of the Dockerfile is called {stage}, so --from={stage} means an image. {hint}"
    return Failure(
        blame=Blame.BASE,
        message=f"The base image cannot be pulled: {said}.",
        hint=hint,
        evidence=_shown([step.error]),
        may_pass=_PASSING.search(error) is not None,
    )


def _registry_of(image: str) -> str:
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "Docker Hub"


def _ending(step: Step, code: int) -> str:
    found = _EXITED.search(step.error)
    if found:
        return f"exit code: {found[1]}"
    return plain(step.error, limit=200).rstrip(".") or f"exit code: {code}"


def _build_hint(lines: Sequence[str], *, again: str) -> str:
    if any(_DISK_FULL.search(line) for line in lines):
        return f"The disk of the runner is full, as the step says. {FREE_DISK_HINT}"
    if any(_OTHER_MACHINE.search(line) for line in lines):
        return (
            "A step is a program of another architecture (exec format error): set platforms to the runner's "
            "own, or set up QEMU (docker/setup-qemu-action)."
        )
    return f"Correct the step; to try it: {again}"


def push_failure(lines: Sequence[str], *, what: str) -> Failure:
    """Return who failed a push of *what*, of which a client printed *lines*: the registry or the network."""
    told = [line for line in lines if line.strip()]
    last = plain(told[-1], limit=300) if told else "the client said nothing"
    for line in reversed(told[-SHOWN_LINES:]):
        refused = _refusal(line)
        if refused is not None:
            return Failure(
                blame=Blame.REGISTRY,
                message=refused[0],
                hint=refused[1],
                evidence=_shown(told),
                is_login=_EXPIRED.search(line) is not None,
            )
    if any(_DISK_FULL.search(line) for line in told[-5:]):
        return Failure(
            blame=Blame.RUNNER,
            message="The disk of the runner is full: no space left on device.",
            hint=FREE_DISK_HINT,
            evidence=_shown(told),
        )
    end = told[-5:]
    broke = any(_PASSING.search(line) or _UNREACHED.search(line) for line in end)
    if not broke and any(_REFUSED.search(line) for line in end):
        said = next(plain(line, limit=300) for line in reversed(end) if _REFUSED.search(line))
        return Failure(
            blame=Blame.REGISTRY,
            message=f"The registry refused the push ({said}).",
            hint=f"A push to ECR needs {PUSH_ACTIONS}. Where these are allowed, look at the repository's "
            "own policy and at the quota of images per repository; a proxy between may refuse too.",
            evidence=_shown(told),
        )
    return Failure(
        blame=Blame.NETWORK if broke else Blame.PUSH,
        message=f"The push of {what} broke: {last}",
        hint="Run the job again: layers that arrived are not sent again. Where it goes on, look at the proxy "
        "or firewall between.",
        evidence=_shown(told),
        may_pass=True,
    )


def _refusal(line: str) -> tuple[str, str] | None:
    """Return what ECR refused, and what to do, where *line* is one of its own refusals."""
    low, said = line.lower(), plain(line, limit=300)
    if match := _NOT_AUTHORIZED.search(line):
        return (
            f"ECR refused the push: the permission {match['action']} is missing ({said}).",
            f"A push needs {PUSH_ACTIONS}.",
        )
    if "tag is immutable" in low or "imagetagalreadyexists" in low:
        return (
            f"ECR refused the push: the tag exists and is immutable ({said}).",
            "Another run pushed it meanwhile: run the job again, and its image is taken.",
        )
    if "maximum allowed size of a layer" in low:
        return (
            f"ECR refused the push: a layer is larger than ECR takes ({said}).",
            "Spread what it holds over several COPY or RUN steps, or keep the model out of the image "
            "(S3, EFS, a volume).",
        )
    if "maximum allowed number of images" in low:
        return (
            f"ECR refused the push: the repository is full ({said}).",
            "Let a lifecycle policy expire old images (aws ecr put-lifecycle-policy), or have the quota of "
            "images per repository raised.",
        )
    if "name unknown" in low or "repository does not exist" in low:
        return (
            f"ECR refused the push: the repository does not exist ({said}).",
            "Set create-repository to true, or check the region and the account.",
        )
    if _EXPIRED.search(line):
        return (
            f"The registry did not accept the login ({said}).",
            "ECR's password is good for twelve hours: the push took longer, or another registry was meant.",
        )
    return None


def login_failure(lines: Sequence[str], *, registry: str) -> Failure:
    """Return who failed a login to *registry*.

    A registry that is ill at the daemon's first request gets the second one without the password: its 401 is
    asked for again, because ECR's password is minutes old.
    """
    told = [line for line in lines if line.strip()]
    last = plain(told[-1], limit=300) if told else ""
    broke = any(_PASSING.search(line) or _UNREACHED.search(line) for line in told[-5:])
    if broke:
        return Failure(
            blame=Blame.NETWORK,
            message=f"The registry {registry} did not answer the login: {last}",
            hint="Run the job again; check whether this runner reaches the registry (proxy, firewall, DNS).",
            evidence=_shown(told),
            may_pass=any(_PASSING.search(line) for line in told[-5:]),
        )
    return Failure(
        blame=Blame.REGISTRY,
        message=f"The registry {registry} refused the login: {last}",
        hint="ECR's password is good for twelve hours; check the account and the network.",
        evidence=_shown(told),
        may_pass=any(_WITHOUT_PASSWORD.search(line) for line in told[-5:]),
    )


def is_not_there(failure: Failure) -> bool:
    """Say whether a base image is not there, or may not be seen, rather than out of reach."""
    return any(_NOT_THERE.search(line) or _REFUSED.search(line) for line in failure.evidence)


def _shown(lines: Sequence[str]) -> tuple[str, ...]:
    """Return the last lines as evidence: without escapes, none empty."""
    clean = (indented(line, limit=400) for line in lines)
    return tuple([line for line in clean if line.strip()][-SHOWN_LINES:])
