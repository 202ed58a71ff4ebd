"""A DOCKER_CONFIG of the run's own: the user's settings, and our login beside them; gone at the end.

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

_KEPT: Final = (
    *("auths", "credsStore", "credHelpers", "currentContext", "proxies", "HttpHeaders"),
    *("cliPluginsExtraDirs", "plugins", "aliases"),
)
_PODMAN: Final = "containers-auth.json"
_JANITOR: Final = """trap "" TERM INT HUP
group=
while read -r line; do group=$line; done
rm -rf -- "$1"
if [ -n "$group" ]; then kill -TERM "-$group"; sleep 1; kill -KILL "-$group"; fi
"""


class UsersConfig:
    """The user's own DOCKER_CONFIG: what is logged in to there outlives the run."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self.path = _users_folder(environment)
        self._is_named = bool(environment.get("DOCKER_CONFIG"))

    def note_group(self, group: int | None) -> None:
        """Leave the process group to itself: there is no folder to remove."""

    def keep_login_here(self, registry: str, *, with_podman: bool = False) -> None:
        """Leave it to Docker where a login goes: a later step asks it too."""

    @property
    def asks_aws(self) -> bool:
        """Does one of the user's credential helpers ask AWS?"""
        with contextlib.suppress(OSError, ValueError):
            return "ecr-login" in (self.path / "config.json").read_text(encoding="utf-8")
        return False

    @property
    def variables(self) -> dict[str, str]:
        """What Docker's environment needs."""
        return {"DOCKER_CONFIG": str(self.path)} if self._is_named else {}


def _users_folder(environment: Mapping[str, str]) -> Path:
    own = environment.get("DOCKER_CONFIG", "")
    return Path(own) if own else Path(environment.get("HOME") or Path.home()) / ".docker"


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

    def keep_login_here(self, registry: str, *, with_podman: bool = False) -> None:
        """Have a login to *registry* stay in this folder: no key store or helper of the user's gets it.

        A helper without a name is the file itself (github.com/docker/cli, cli/config/configfile,
        GetCredentialsStore); the others go on to serve their own registries. Podman has a file for logins,
        and would run that helper.
        """
        file = self.path / "config.json"
        settings = json.loads(file.read_text(encoding="utf-8"))
        helpers = settings.get("credHelpers")
        helpers = dict(helpers) if isinstance(helpers, dict) else {}
        helpers.pop(registry, None)
        settings["credHelpers"] = helpers if with_podman else {**helpers, registry: ""}
        file.write_text(json.dumps(settings), encoding="utf-8")

    @property
    def asks_aws(self) -> bool:
        """Does one of the user's credential helpers ask AWS?"""
        text = (self.path / "config.json").read_text(encoding="utf-8")
        return "ecr-login" in text

    @property
    def variables(self) -> dict[str, str]:
        """What Docker's environment needs; the user's builders stay where they are."""
        return {
            "DOCKER_CONFIG": str(self.path),
            "BUILDX_CONFIG": self._environment.get("BUILDX_CONFIG", str(self._original / "buildx")),
            "REGISTRY_AUTH_FILE": str(self.path / _PODMAN),
        }

    @property
    def _original(self) -> Path:
        return _users_folder(self._environment)

    def _take_over(self) -> None:
        """Copy what builds may need: logins to other registries, proxies, plugins, contexts."""
        settings: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            settings = json.loads((self._original / "config.json").read_text(encoding="utf-8"))
        kept = {name: settings[name] for name in _KEPT if isinstance(settings, dict) and name in settings}
        file = self.path / "config.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(kept), encoding="utf-8")
        podman = self.path / _PODMAN
        podman.touch(mode=0o600)
        podman.write_text(
            self._podman_logins() or json.dumps({"auths": kept.get("auths", {})}), encoding="utf-8"
        )
        for folder in ("cli-plugins", "contexts"):
            if (self._original / folder).is_dir():
                (self.path / folder).symlink_to((self._original / folder).resolve())

    def _podman_logins(self) -> str:
        """Return Podman's own file of logins (containers-auth.json(5)); "" where there is none."""
        named = self._environment.get("REGISTRY_AUTH_FILE", "")
        runtime = self._environment.get("XDG_RUNTIME_DIR", "")
        home = Path(self._environment.get("HOME") or Path.home())
        places = [Path(named)] if named else []
        places += [Path(runtime) / "containers/auth.json"] if runtime else []
        for place in (*places, home / ".config/containers/auth.json"):
            with contextlib.suppress(OSError, ValueError):
                text = place.read_text(encoding="utf-8")
                json.loads(text)
                return text
        return ""
