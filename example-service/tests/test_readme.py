"""The README is followed in a fresh clone, block by block, as somebody would who has just found it.

What builds the image is not run to its end but as far as that goes without a network, for its base comes
from Docker Hub: test_image.py builds it on a base made here, and starts it with compose. What `make` sets up
first is linked from the environment of these tests, which the same target made; `make eval` would ask what
test_eval.py asks already.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from conftest import unless_it_can_be_had
from docker_daemon import NO_COMPOSE, compose_plugin
from rag_service.access import read_hashes
from rag_service.ingest.__main__ import arguments_parser
from running import ROOT, free_port, wait_until

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
REPOSITORY = ROOT.parent
PORT = "8000"
"""The README's; another program of this machine may have it."""


@dataclass(kw_only=True)
class Reader:
    """Somebody with a clone and a shell; `folder` is where he stands."""

    clone: Path
    port: int
    environment: dict[str, str]

    def command(self, line: str) -> str:
        return line.replace(f"localhost:{PORT}", f"localhost:{self.port}")

    def run(self, line: str, *, folder: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.command(line)],
            cwd=folder or self.clone,
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done

    @contextmanager
    def running(self, line: str) -> Iterator[None]:
        """Keep a command that does not end by itself running, and end it as Ctrl-C does."""
        log = self.clone / "running.log"
        with (
            log.open("w") as output,
            subprocess.Popen(
                ["bash", "-c", f"exec {self.command(line)}"],
                cwd=self.clone,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            ) as started,
        ):
            try:

                def is_there() -> bool:
                    assert started.poll() is None, log.read_text()
                    try:
                        return httpx.get(f"http://localhost:{self.port}/health").status_code == 200
                    except httpx.HTTPError:
                        return False

                wait_until(is_there, seconds=90, every=0.2)
                yield
            finally:
                os.killpg(started.pid, 15)
                started.wait(30)


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    unless_it_can_be_had(None if shutil.which("git") and shutil.which("curl") else "missing: git or curl")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], check=True)
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ROOT.name]
    names = subprocess.run(listed, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    for name in names.split("\0")[:-1]:  # what is not committed yet counts, too
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, clone / name)
    environment = clone / ROOT.name / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    [packages] = environment.glob("lib/python3*/site-packages")
    (packages / "checkout.pth").write_text(f"{clone / ROOT.name / 'src'}\n{sysconfig.get_path('purelib')}\n")
    (environment / "ready").touch()
    port = free_port()
    kept = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
    return Reader(
        clone=clone,
        port=port,
        environment={
            **kept,
            "PATH": f"{environment / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "METRICS_PORT": "0",
        },
    )


IMAGE = re.compile(r"make .*example-(image|layers)")
COMPOSE = re.compile(r"(?:\w+=\w+ )?docker compose ")
SERVES = re.compile(r"make .*example-run")


@pytest.mark.timeout(600)
def test_every_block_does_what_the_readme_says(reader: Reader) -> None:
    text = (reader.clone / ROOT.name / "README.md").read_text(encoding="utf-8")
    said: dict[str, str] = {}
    with ExitStack() as running:
        for language, block in BLOCK.findall(text):
            assert language in {"sh", "text", "yaml"}, block
            if language == "text":
                options_are_there(block)
                continue
            if language == "yaml":
                follow_smoke_test(reader, block)
                continue
            folder, plain = reader.clone, []
            for line in block.rstrip("\n").split("\n"):
                command = line.partition("  #")[0].rstrip()
                if IMAGE.match(command):
                    shown = reader.run(f"{command.replace('…', 'debian')} --dry-run", folder=folder).stdout
                    assert ("docker build --platform linux/amd64 " in shown) == ("example-image" in command)
                elif command == "make eval":
                    assert "rag_service.eval" in reader.run("make eval --dry-run", folder=folder).stdout
                elif COMPOSE.match(command):
                    said |= compose_reads(reader, command, folder)
                elif SERVES.match(command):
                    reader.run("\n".join(plain), folder=folder)
                    plain = []
                    running.enter_context(reader.running(command))
                elif command.startswith("cd "):
                    folder = folder / command.removeprefix("cd ")
                else:
                    plain.append(line)
            if plain:
                said[block] = reader.run("\n".join(plain), folder=folder).stdout
    answer = json.loads(next(shown for block, shown in said.items() if block.startswith("curl ")))
    assert answer["mode"] == "extractive"
    assert "[1]" in answer["answer"]
    assert answer["sources"][0]["document"] == "circuit-breaker.md"
    assert (reader.clone / ROOT.name / "data" / "index").is_dir()
    assert [said[name].split() for name in ("cpu", "cuda")] == [
        ["ki-rag-api:cpu"] * 2,
        ["ki-rag-api:cuda"] * 2,
    ]
    keys = next(block for block in said if "rag_service.keys" in block)
    known = reader.run(f'{keys}printf %s "$hashes"').stdout
    assert [*read_hashes(known)] == ["app", "web"]


def follow_smoke_test(reader: Reader, block: str) -> None:
    """Run the job's step, as GitHub would, against the service that is running."""
    [step] = [step for step in yaml.safe_load(block)["smoke"]["steps"] if "run" in step]
    given = {name: str(value) for name, value in step["env"].items() if "${{" not in str(value)}
    folder = reader.clone / step["working-directory"]
    reader.run(step["run"], folder=folder, URL=f"http://localhost:{reader.port}", **given)


def options_are_there(usage: str) -> None:
    """Look for each option of a line that shows how a command is used in the command's own help."""
    for line in usage.splitlines():
        words = line.partition("  #")[0].split()
        assert words[:3] == ["python", "-m", "rag_service.ingest"]
        named = re.findall(r"(--[a-z-]+)", " ".join(words))
        assert named
        assert set(named) <= set(re.findall(r"--[a-z-]+", arguments_parser().format_help()))


def compose_reads(reader: Reader, command: str, folder: Path) -> dict[str, str]:
    """Let compose read what it is told to start, up to where it would build; give the images."""
    plugin = compose_plugin()
    unless_it_can_be_had(None if plugin else NO_COMPOSE)
    before, up, _ = command.partition(" up --build")
    assert up
    asked = before.replace("docker compose", str(plugin)) + " config --images"
    return {"cuda" if "gpu" in command else "cpu": reader.run(asked, folder=folder).stdout}
