"""The action run for real: GitHub's expression evaluator, bash, bootstrap.py, and the program behind it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NODE_PROJECT = Path(__file__).parent / "action"
BUNDLE = NODE_PROJECT / "node_modules" / ".bundle"


def need_node() -> None:
    """Skip with a reason where node or its packages are missing; on CI that is a failure."""
    missing = ""
    if not (shutil.which("node") and shutil.which("npm")):
        missing = "node and npm are not installed"
    elif not (NODE_PROJECT / "node_modules" / "@actions").is_dir():
        missing = f"node packages are missing: npm ci --prefix {NODE_PROJECT.relative_to(ROOT)}"
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)


def bundle() -> None:
    """Bundle the scripts anew where they are older than their sources."""
    need_node()
    sources = [NODE_PROJECT / name for name in ("judge.mjs", "run.mjs", "runner.mjs", "package-lock.json")]
    built = [BUNDLE / name for name in ("judge.mjs", "run.mjs")]
    newest = max(source.stat().st_mtime for source in sources)
    if not all(file.exists() and file.stat().st_mtime >= newest for file in built):
        subprocess.run(["npm", "run", "--silent", "build"], cwd=NODE_PROJECT, check=True, timeout=120)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a run of the action, or of a workflow with it, left behind."""

    code: int | None
    outputs: Mapping[str, str]
    set: tuple[str, ...]
    stdout: str
    stderr: str
    summary: str
    jobs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Of a workflow: how each job ended, `{result, outputs}`."""

    @classmethod
    def from_json(cls, text: str) -> Ended:
        members = json.loads(text)
        return cls(
            code=members["code"],
            outputs=members["outputs"],
            set=tuple(members["set"]),
            stdout=members["stdout"],
            stderr=members["stderr"],
            summary=members["summary"],
            jobs=members.get("jobs", {}),
        )


def runner_environment(tmp_path: Path) -> dict[str, str]:
    """Give the environment of a runner whose python3 is this Python, without this virtual environment."""
    interpreters = tmp_path / "interpreters"
    interpreters.mkdir(exist_ok=True)
    python3 = interpreters / "python3"
    if not python3.exists():
        python3.symlink_to(os.path.realpath(sys.executable))
    return {
        "PATH": f"{interpreters}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "GITHUB_ACTIONS": "true",
        "RUNNER_TOOL_CACHE": str(tmp_path / "tool-cache"),
        "RUNNER_TEMP": str(tmp_path),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path / "wheels"),
    }


def put_environment(environment: Mapping[str, str]) -> None:
    """Put this virtual environment where bootstrap.py will look for the one of the lock file."""
    code = f"import runpy; print(runpy.run_path({str(ROOT / 'bootstrap.py')!r})['_place']())"
    place = subprocess.run(
        ["python3", "-I", "-c", code], env=dict(environment), check=True, capture_output=True, text=True
    ).stdout.strip()
    if not Path(place).is_symlink():
        Path(place).symlink_to(sys.prefix)


def stand_in_wheel(folder: Path, code: str = "") -> str:
    """Make a wheel with the module stand_in, and give the lock line for it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "stand_in-1.0-py3-none-any.whl"
    members = {
        "stand_in.py": code,
        "stand_in-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: stand-in\nVersion: 1.0\n",
        "stand_in-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "stand_in-1.0.dist-info/RECORD,,\n"
    for name, text in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(text)}\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**members, "stand_in-1.0.dist-info/RECORD": record}.items():
            archive.writestr(name, text)
    return f"stand-in==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def lay_out(action: Path, program: str, lock: str, *, files: Sequence[str]) -> None:
    """Lay out an action that has our *files*, and a program and a lock file of its own."""
    package = action / "src" / "ecs_gpu_deploy"
    package.mkdir(parents=True)
    (package / "__main__.py").write_text(program, encoding="utf-8")
    (package / "run.py").write_text("import stand_in", encoding="utf-8")
    (action / "locks").mkdir()
    (action / "locks" / "runtime.txt").write_text(lock, encoding="utf-8")
    for name in files:
        (action / name).write_bytes((ROOT / name).read_bytes())


def action_process(
    folder: Path,
    given: Mapping[str, str],
    environment: Mapping[str, str],
    workspace: Path,
    *,
    workflow: Path | None = None,
    started: bool = False,
    secrets: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """Start the action in `folder`; its standard output will be an `Ended` as JSON.

    With a *workflow*, what it says of the action is run with this folder: one that is called with the inputs
    and secrets, or one that is *started*.
    """
    bundle()
    process = subprocess.Popen(
        [str(shutil.which("node")), str(BUNDLE / "run.mjs"), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
        text=True,
        encoding="utf-8",
    )
    assert process.stdin is not None
    told = {"with": dict(given), "workspace": str(workspace), "started": started}
    told |= {"secrets": dict(secrets or {}), "vars": dict(variables or {})}
    process.stdin.write(json.dumps(told | ({"workflow": str(workflow)} if workflow else {})))
    process.stdin.close()
    process.stdin = None
    return process


def ended(process: subprocess.Popen[str], *, timeout: float = 120) -> Ended:
    """Wait for the action's end, so many seconds at most."""
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err
    return Ended.from_json(out)


def diagnostics(*paths: Path) -> list[dict[str, Any]]:
    """Give what GitHub's language service says about action and workflow files that use ours."""
    bundle()
    done = subprocess.run(
        [str(shutil.which("node")), str(BUNDLE / "judge.mjs"), str(ROOT), *map(str, paths)],
        capture_output=True,
        check=True,
        timeout=60,
    )
    result: list[dict[str, Any]] = json.loads(done.stdout)
    return result
