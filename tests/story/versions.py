"""The example service as a repository of commits: good versions, and bad ones of three kinds."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CODE = "src/rag_service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A commit: its message, and what it changes of the service as it stands (file, old text, new text)."""

    name: str
    message: str
    changes: tuple[tuple[str, str, str], ...] = ()


def numbered(number: str, name: str) -> Version:
    """Return a good version that says its number."""
    changes = (
        (f"{CODE}/__init__.py", '__version__ = "0.1.0"', f'__version__ = "{number}"'),
        (f"{CODE}/page.html", "<h1>Ask the documents</h1>", f"<h1>Ask the documents {number}</h1>"),
    )
    return Version(name=name, message=f"Version {number}", changes=changes)


FIRST = Version(name="first", message="The example service as it stands")
SECOND = numbered("0.2.0", "second")
THIRD = numbered("0.3.0", "third")
CRASHES = Version(
    name="crashes",
    message="Faster attention, whose package nobody put into the lock",
    changes=(
        (
            f"{CODE}/api.py",
            "from rag_service.settings import Settings\n",
            "from rag_service.settings import Settings\nimport flash_attn\n",
        ),
    ),
)
NEVER_READY = Version(
    name="never-ready",
    message="Wait for a lock before the model is loaded, which nobody ever frees",
    changes=(
        (
            f"{CODE}/models.py",
            '    """Load `tiny`, `minilm`, a folder or a hub id."""\n',
            '    """Load `tiny`, `minilm`, a folder or a hub id."""\n'
            "    import threading\n\n    threading.Event().wait()\n",
        ),
    ),
)
TOO_LARGE = Version(
    name="too-large",
    message="Keep a cache of answers in memory, larger than the task's",
    changes=(
        (
            f"{CODE}/models.py",
            '    """Load `tiny`, `minilm`, a folder or a hub id."""\n',
            '    """Load `tiny`, `minilm`, a folder or a hub id."""\n'
            "    global CACHE\n    CACHE = [bytes([1]) * 2**26 for _ in range(64)]\n",
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A git repository whose root is the service, as the printed workflow wants it."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> Repository:
        """Make a repository of what lies in *folder*, with one commit: the service as it stands."""
        repository = cls(folder=folder)
        (folder / ".gitignore").write_text("/wheels/*.whl\n/pip.conf\n")
        repository._git("init", "--quiet", "--initial-branch=main")
        repository._save(FIRST)
        return repository

    def commit(self, version: Version) -> str:
        """Commit the service as it stands with a version's changes; return the SHA, whose files lie there."""
        first = self._git("rev-list", "--max-parents=0", "HEAD")
        if version == FIRST:
            return first
        self._git("checkout", "--quiet", first, "--", ".")
        for file, old, new in version.changes:
            path = self.folder / file
            text = path.read_text(encoding="utf-8")
            assert text.count(old) == 1, f"{file} has not one {old!r}"
            path.write_text(text.replace(old, new), encoding="utf-8")
        return self._save(version)

    def _save(self, version: Version) -> str:
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", version.message)
        return self._git("rev-parse", "HEAD")

    def _git(self, *arguments: str) -> str:
        who = ["-c", "user.name=story", "-c", "user.email=story@example.invalid"]
        environment: Mapping[str, str] = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_SYSTEM": "/dev/null",
        }
        ran = subprocess.run(
            ["git", *who, *arguments],
            cwd=self.folder,
            env=dict(environment),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()
