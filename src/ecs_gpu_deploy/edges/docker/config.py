"""A DOCKER_CONFIG of the run's own: the user's settings without their key store, gone at the end.

Gone also after SIGKILL: a shell waits on a pipe that closes with us; then it ends the Docker command that
runs and removes the folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

_KEPT: Final = ("auths", "credHelpers", "currentContext", "proxies", "HttpHeaders", "cliPluginsExtraDirs")
_JANITOR: Final = """trap "" TERM INT HUP
group=
while read -r line; do group=$line; done
rm -rf -- "$1"
if [ -n "$group" ]; then kill -TERM "-$group"; sleep 1; kill -KILL "-$group"; fi
"""


class DockerConfig:
    """The folder, as a context manager. `path` exists until the block ends or this process does."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._janitor: subprocess.Popen[bytes] | None = None
        self.path = Path()

    def __enter__(self) -> Self:
        """Make the folder, readable by us alone."""
        parent = self._environment.get("RUNNER_TEMP", "")
        self.path = Path(
            tempfile.mkdtemp(
                prefix="docker-config-", dir=parent if Path(parent).is_dir() and parent else None
            )
        )
        self._janitor = subprocess.Popen(  # noqa: S603  (fixed words and a path of ours)
            ["/bin/sh", "-c", _JANITOR, "sh", str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._take_over()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the folder now, and let the shell that would have done so end."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._janitor is not None and self._janitor.stdin is not None:
            with contextlib.suppress(OSError):
                self._janitor.stdin.close()
            self._janitor.wait(timeout=10)

    def note_group(self, group: int | None) -> None:
        """Have the process group end with us, should we be killed; None: there is none any more."""
        if self._janitor is not None and self._janitor.stdin is not None:
            with contextlib.suppress(OSError):
                self._janitor.stdin.write(f"{group or ''}\n".encode())
                self._janitor.stdin.flush()

    def forget_helper(self, registry: str) -> None:
        """Let no credential helper stand in the way of a login to *registry*."""
        file = self.path / "config.json"
        settings = json.loads(file.read_text(encoding="utf-8"))
        if settings.get("credHelpers", {}).pop(registry, None):
            file.write_text(json.dumps(settings), encoding="utf-8")

    @property
    def variables(self) -> dict[str, str]:
        """What Docker's environment needs; the user's builders stay where they are."""
        return {
            "DOCKER_CONFIG": str(self.path),
            "BUILDX_CONFIG": self._environment.get("BUILDX_CONFIG", str(self._original / "buildx")),
        }

    @property
    def _original(self) -> Path:
        own = self._environment.get("DOCKER_CONFIG", "")
        return Path(own) if own else Path(self._environment.get("HOME") or Path.home()) / ".docker"

    def _take_over(self) -> None:
        """Copy what builds may need: logins to other registries, proxies, plugins, contexts.

        Not `credsStore`: with it `docker login` would leave ECR's password in the user's key store.
        """
        settings: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            settings = json.loads((self._original / "config.json").read_text(encoding="utf-8"))
        kept = {name: settings[name] for name in _KEPT if isinstance(settings, dict) and name in settings}
        file = self.path / "config.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(kept), encoding="utf-8")
        for folder in ("cli-plugins", "contexts"):
            if (self._original / folder).is_dir():
                (self.path / folder).symlink_to((self._original / folder).resolve())
