"""What Docker's output means: network faults, refusals of the registry, builds that fail.

Texts: Docker, BuildKit and Amazon ECR as they print them; several are in github.com/aws/amazon-ecr and
github.com/docker/build-push-action issues.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SHOWN_LINES: Final = 12
PUSH_ACTIONS: Final = (
    "ecr:GetAuthorizationToken (on *), and on the repository ecr:BatchCheckLayerAvailability, "
    "ecr:BatchGetImage, ecr:InitiateLayerUpload, ecr:UploadLayerPart, ecr:CompleteLayerUpload, ecr:PutImage"
)
_NETWORK: Final = re.compile(
    r"i/o timeout|TLS handshake timeout|connection reset|connection refused|broken pipe|unexpected EOF"
    r"|: EOF\b|no such host|temporary failure in name resolution|network is unreachable"
    r"|context deadline exceeded|net/http: request canceled|client connection lost"
    r"|use of closed network connection"
    r"|\b(?:500|502|503|504) (?:Internal Server Error|Bad Gateway|Service Unavailable|Gateway Time-?out)"
    r"|received unexpected HTTP status: 5\d\d|toomanyrequests|Rate exceeded|429 Too Many Requests",
    re.IGNORECASE,
)
_DISK_FULL: Final = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_NOT_AUTHORIZED: Final = re.compile(r"not authorized to perform:? (?P<action>ecr:\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFailure:
    """What went wrong, and what to do."""

    message: str
    hint: str = ""


def is_network_fault(lines: Sequence[str]) -> bool:
    """Say whether the end of the output tells of a network that may work at the next attempt."""
    end = lines[-5:]
    return any(_NETWORK.search(line) for line in end) and not any(_DISK_FULL.search(line) for line in lines)


def push_refusal(lines: Sequence[str]) -> BuildFailure | None:
    """Return what the registry refused; None where it refused nothing."""
    for line in reversed(lines):
        low = line.lower()
        if match := _NOT_AUTHORIZED.search(line):
            return BuildFailure(
                message=f"ECR refused the push: the permission {match['action']} is missing ({_cut(line)}).",
                hint=f"A push needs {PUSH_ACTIONS}.",
            )
        if "tag is immutable" in low or "imagetagalreadyexists" in low:
            return BuildFailure(
                message=f"ECR refused the push: the tag exists and is immutable ({_cut(line)}).",
                hint="Another run pushed it meanwhile: run the job again, and its image is taken.",
            )
        if "name unknown" in low or "repository does not exist" in low:
            return BuildFailure(
                message=f"ECR refused the push: the repository does not exist ({_cut(line)}).",
                hint="Set create-repository to true, or check the region and the account.",
            )
        if "authorization token has expired" in low or "no basic auth credentials" in low:
            return BuildFailure(
                message=f"The registry did not accept the login ({_cut(line)}).",
                hint="ECR's password is good for twelve hours: the build took longer, or another "
                "registry was meant.",
            )
        if "unauthorized" in low or "denied" in low or "403 forbidden" in low:
            return BuildFailure(
                message=f"The registry refused the push ({_cut(line)}).",
                hint=f"A push to ECR needs {PUSH_ACTIONS}. Where these are allowed, look at the repository's "
                "own policy and at the quota of images per repository.",
            )
    return None


def build_failure(lines: Sequence[str]) -> BuildFailure | None:
    """Return why the image did not build, with the build's own last lines; None for an empty output."""
    if not lines:
        return None
    if any(_DISK_FULL.search(line) for line in lines):
        return BuildFailure(
            message="The disk of the runner is full: no space left on device.", hint=FREE_DISK_HINT
        )
    joined = "\n".join(lines[-SHOWN_LINES:])
    if "buildx component is missing" in joined:
        return BuildFailure(
            message="This Docker cannot build with BuildKit: its plugin buildx is missing.",
            hint="Install buildx (docker/setup-buildx-action).",
        )
    if any("exec format error" in line for line in lines):
        return BuildFailure(
            message="A step of the build is a program of another architecture (exec format error).",
            hint="Set platforms to the runner's own, or set up QEMU (docker/setup-qemu-action).",
        )
    return BuildFailure(message="The image does not build; the build's last lines say why.", hint=joined)


FREE_DISK_HINT: Final = (
    "Free it before the build: sudo rm -rf /usr/share/dotnet /usr/local/lib/android /opt/ghc "
    "/opt/hostedtoolcache/CodeQL; docker system prune --all --force. Or use a larger runner."
)


def _cut(line: str) -> str:
    text = " ".join(line.split())
    return text if len(text) <= 300 else f"{text[:299]}…"
