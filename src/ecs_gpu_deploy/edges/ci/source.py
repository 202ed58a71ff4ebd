"""The commit that is built: from the runner's variables, or from git."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

# GitHub Actions, GitLab CI, AWS CodeBuild, Jenkins.
_REVISIONS: Final = ("GITHUB_SHA", "CI_COMMIT_SHA", "CODEBUILD_RESOLVED_SOURCE_VERSION", "GIT_COMMIT")
_SHA: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an image comes from; parts that nobody knows are "". `is_changed`: the working tree differs."""

    revision: str = ""
    url: str = ""
    is_changed: bool = False


def source_of(folder: str, environment: Mapping[str, str] = os.environ) -> Source:
    """Return the commit and the address of the repository in which *folder* lies."""
    revision = next((v for name in _REVISIONS if _SHA.fullmatch(v := environment.get(name, ""))), "")
    url = ""
    if environment.get("GITHUB_REPOSITORY"):
        server = environment.get("GITHUB_SERVER_URL", "https://github.com")
        url = f"{server}/{environment['GITHUB_REPOSITORY']}"
    url = url or environment.get("CI_PROJECT_URL", "") or environment.get("CODEBUILD_SOURCE_REPO_URL", "")
    if revision:
        return Source(revision=revision, url=_without_credentials(url))
    return Source(
        revision=_git(folder, "rev-parse", "--verify", "HEAD"),
        url=_without_credentials(url or _git(folder, "remote", "get-url", "origin")),
        is_changed=bool(_git(folder, "status", "--porcelain", "--untracked-files=no")),
    )


def _git(folder: str, *arguments: str) -> str:
    if not Path(folder).is_dir():
        return ""
    try:
        ran = subprocess.run(  # noqa: S603  (no shell, fixed words)
            ["git", "-C", folder, *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return ran.stdout.strip() if ran.returncode == 0 else ""


def _without_credentials(url: str) -> str:
    """Return *url* without a user and password that a CI system may have put into it."""
    try:
        parts = urlsplit(url)
        if not parts.hostname or "@" not in parts.netloc:
            return url
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    return urlunsplit((parts.scheme, parts.hostname + port, parts.path, "", ""))
