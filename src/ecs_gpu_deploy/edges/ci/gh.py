"""GitHub's own command line: `gh attestation verify`, which checks signature, certificate and its chain.

No cryptography of ours: the roots of trust (Sigstore's public one and GitHub's), transparency log and
timestamps are gh's part, and it is kept by those who run the signing.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ecs_gpu_deploy.core.definition.secret_text import MASK
from ecs_gpu_deploy.core.identity.attestation import PROVENANCE, ExpectedSigner, may_pass, not_verified
from ecs_gpu_deploy.edges.machine.clock import Clock
from ecs_gpu_deploy.errors import InvalidInput

PUBLIC_SERVER: Final = "https://github.com"
_ATTEMPTS: Final = 3
_PAUSE_SECONDS: Final = 5.0
_SECONDS: Final = 90.0
_NEEDED: Final = re.compile(
    r"PATH|HOME|USER|LANG|LC_\w+|TZ|TMPDIR|TEMP|TMP|XDG_\w+|DOCKER_CONFIG"
    r"|SYSTEMROOT|SYSTEMDRIVE|WINDIR|COMSPEC|PATHEXT|USERPROFILE|APPDATA|LOCALAPPDATA"
    r"|(?:HTTPS?|NO|ALL)_PROXY|SSL_CERT_(?:FILE|DIR)|TUF_\w+",
    re.IGNORECASE,
)
"""What of the environment gh gets: no secret of the job but the token."""


def check_gh(environment: Mapping[str, str]) -> None:
    """Raise InvalidInput where there is no `gh`."""
    if shutil.which("gh", path=environment.get("PATH")) is None:
        raise InvalidInput(
            "require-attestation needs the GitHub CLI, and there is no command `gh` here.",
            hint="GitHub's own runners have it; elsewhere install it before this step (cli.github.com).",
        )


def verify_manifest(
    manifest: bytes,
    expected: ExpectedSigner,
    *,
    image: str,
    environment: Mapping[str, str],
    token: str,
    clock: Clock,
) -> object:
    """Return what `gh attestation verify` tells, as JSON, of the image whose manifest this is.

    An image's digest is that of its manifest, so gh needs no registry. Raise InvalidInput and Refused.
    """
    with tempfile.TemporaryDirectory(prefix="attestation-") as folder:
        file = Path(folder) / "manifest.json"
        file.write_bytes(manifest)
        return _verified(str(file), expected, image=image, environment=environment, token=token, clock=clock)


def verify_reference(
    reference: str,
    expected: ExpectedSigner,
    *,
    environment: Mapping[str, str],
    token: str,
    clock: Clock,
) -> object:
    """Return the same of an image that gh looks up in its registry, with the user's login for that."""
    return _verified(
        f"oci://{reference}", expected, image=reference, environment=environment, token=token, clock=clock
    )


def server_of(environment: Mapping[str, str]) -> str:
    """Return the address of the GitHub that the job runs on."""
    return environment.get("GITHUB_SERVER_URL", "") or PUBLIC_SERVER


def _verified(
    artifact: str,
    expected: ExpectedSigner,
    *,
    image: str,
    environment: Mapping[str, str],
    token: str,
    clock: Clock,
) -> object:
    command = ["gh", "attestation", "verify", artifact, "--repo", expected.repository]
    command += ["--predicate-type", PROVENANCE, "--format", "json"]
    host = urlsplit(server_of(environment)).netloc
    if expected.workflow:
        command += ["--signer-workflow", f"{host}/{expected.workflow}"]
    given = _environment(environment, host=host, token=token)
    for attempt in range(1, _ATTEMPTS + 1):
        code, output, lines = _run(command, given)
        lines = [line.replace(token, MASK) for line in lines] if token else lines
        if code == 0:
            break
        if attempt == _ATTEMPTS or not may_pass(code, lines):
            raise not_verified(code, lines, expected, image=image, attempts=attempt)
        clock.sleep(_PAUSE_SECONDS)
    try:
        return json.loads(output)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            "The GitHub CLI here did not answer in JSON.", hint="Install gh 2.67 or newer."
        ) from error


def _environment(environment: Mapping[str, str], *, host: str, token: str) -> dict[str, str]:
    kept = {name: value for name, value in environment.items() if _NEEDED.fullmatch(name)}
    kept |= {"GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1"}
    if host != "github.com":
        kept["GH_HOST"] = host
    is_own = host == "github.com" or host.endswith(".ghe.com")
    return kept | ({"GH_TOKEN" if is_own else "GH_ENTERPRISE_TOKEN": token} if token else {})


def _run(command: list[str], environment: Mapping[str, str]) -> tuple[int, str, list[str]]:
    """Run gh; return its exit code, what it printed, and the lines of its standard error."""
    try:
        ran = subprocess.run(  # noqa: S603  (a list, no shell)
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1, "", [f"gh timed out after {_SECONDS:.0f} s"]
    except OSError as error:
        raise InvalidInput(f"gh cannot be started: {error.strerror}.") from error
    return ran.returncode, ran.stdout, ran.stderr.splitlines()
