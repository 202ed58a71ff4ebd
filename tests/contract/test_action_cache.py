"""The environment that bootstrap.py keeps on a self-hosted runner: whole, of this user, and never spoilt."""

from __future__ import annotations

import http.server
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from action_tools import lay_out, runner_environment, stand_in_wheel

PROGRAM = """
import stand_in, os, sys
with open(os.environ["GITHUB_OUTPUT"], "a") as file:
    print(f"outcome={stand_in.WORD}", f"reason={sys.prefix}", f"argv={sys.argv[1:]}", sep="\\n", file=file)
"""
THREE = ["outcome", "exit-code", "reason"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """A self-hosted runner with one action on it; `environment` is what each job starts from."""

    action: Path
    environment: dict[str, str]
    wheels: Path

    @property
    def home(self) -> Path:
        return Path(self.environment["RUNNER_TOOL_CACHE"], "ecs-gpu-deploy")

    def places(self) -> list[Path]:
        return sorted(self.home.iterdir())

    def packages(self) -> Path:
        (place,) = self.home.glob("*/lib/python*/site-packages")
        return place

    def start(self, **more: str) -> subprocess.Popen[str]:
        output = self.action.parent / "output"
        output.write_text("", encoding="utf-8")
        environment = {"INPUTS": "{}", "GITHUB_OUTPUT": str(output), **self.environment, **more}
        return subprocess.Popen(
            ["python3", "-I", str(self.action / "bootstrap.py")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def outputs(self) -> dict[str, str]:
        lines = (self.action.parent / "output").read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def ended(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in err
        return process.returncode, out, err

    def works(self, **more: str) -> Path:
        """Run a job that has to succeed in silence; return the environment that it ran in."""
        assert self.ended(self.start(**more)) == (0, "", "")
        outputs = self.outputs()
        assert (outputs["outcome"], outputs["argv"]) == ("well", "[]")
        return Path(outputs["reason"])

    def fails(self, **more: str) -> str:
        """Run a job that has to fail in one sentence, with the three outputs; return the sentence."""
        code, out, err = self.ended(self.start(**more))
        outputs = self.outputs()
        assert list(outputs) == THREE
        assert outputs["exit-code"] == str(code)
        assert err == f"error: {outputs['reason']}\n"
        assert out == f"::error title=ecs-gpu-deploy::{outputs['reason']}\n"
        return outputs["reason"]


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return runner_in(tmp_path)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """Give a runner on which the action has run; whoever breaks what it keeps leaves it whole again."""
    runner = runner_in(tmp_path_factory.mktemp("kept"))
    runner.works()
    return runner


def runner_in(tmp_path: Path) -> Runner:
    action = tmp_path / "action"
    wheels = tmp_path / "wheels"
    lay_out(action, PROGRAM, stand_in_wheel(wheels, "WORD = 'well'\n"), files=["bootstrap.py"])
    return Runner(action=action, environment=runner_environment(tmp_path), wheels=wheels)


@contextmanager
def hanging_index() -> Iterator[tuple[str, threading.Event]]:
    """Give the address of a package index that never answers, and what is set once it is asked."""
    asked, end = threading.Event(), threading.Event()

    class Index(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()
            end.wait(60)

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/simple", asked
        finally:
            end.set()
            server.shutdown()
            thread.join()


def processes_of(folder: Path) -> list[int]:
    """Return the processes whose command line names *folder*."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.fsencode(folder) in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param({"PIP_TARGET": "/nowhere/target"}, id="PIP_TARGET"),
        pytest.param({"PIP_PREFIX": "/nowhere/prefix"}, id="PIP_PREFIX"),
        pytest.param({"PIP_DRY_RUN": "1"}, id="PIP_DRY_RUN"),
        pytest.param(
            {
                "PIP_ROOT": "/nowhere/root",
                "PIP_USER": "1",
                "PIP_REQUIRE_VIRTUALENV": "1",
                "PIP_PYTHON": "/bin/false",
                "PIP_CONSTRAINT": "/nowhere",
                "PIP_NO_BINARY": ":all:",
                "PYTHONHOME": "/nowhere",
            },
            id="the others",
        ),
    ],
)
def test_what_one_job_tells_pip_does_not_spoil_the_runner_for_the_next(
    spoilt: dict[str, str], runner: Runner
) -> None:
    place = runner.works(**spoilt)
    assert not Path("/nowhere").exists()
    assert runner.places() == [place]
    shutil.rmtree(runner.wheels)
    assert runner.works() == place


@pytest.mark.parametrize("by", ["PIP_CONFIG_FILE", "the user's file"])
def test_what_a_file_of_pip_s_settings_says_counts_for_the_index_only(
    by: str, runner: Runner, tmp_path: Path
) -> None:
    lines = ["[global]", "no-index = true", f"find-links = {runner.wheels}", "require-virtualenv = true"]
    lines += [
        "[install]",
        "target = /nowhere/t",
        "prefix = /nowhere/p",
        "root = /nowhere/r",
        "dry-run = true",
    ]
    file = tmp_path / ".config" / "pip" / "pip.conf"
    file.parent.mkdir(parents=True)
    file.write_text("\n".join(lines), encoding="utf-8")
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_CONFIG_FILE"):
        del runner.environment[name]
    if by == "PIP_CONFIG_FILE":
        runner.environment["PIP_CONFIG_FILE"] = str(file.rename(tmp_path / "elsewhere.conf"))
    runner.works()
    assert not Path("/nowhere").exists()


def _without_code(packages: Path) -> None:
    (packages / "stand_in.py").unlink()


def _without_everything(packages: Path) -> None:
    for found in packages.glob("stand_in*"):
        shutil.rmtree(found) if found.is_dir() else found.unlink()


def _other_words(packages: Path) -> None:
    path = packages / "stand_in.py"
    path.write_bytes(b"(" * path.stat().st_size)
    shutil.rmtree(packages / "__pycache__")


def _broken_cache(packages: Path) -> None:
    for path in (packages / "__pycache__").glob("stand_in*"):
        path.write_bytes(path.read_bytes()[:16] + b"\xff" * 20)


def _odd_record(packages: Path) -> None:
    next(packages.glob("stand_in*/RECORD")).write_bytes(b'\xff,"\n1,2,3,4\n')


def _without_path(packages: Path) -> None:
    (packages / "ecs_gpu_deploy.pth").unlink()


def _without_python(packages: Path) -> None:
    (packages.parents[2] / "bin" / "python").unlink()


def _no_program(packages: Path) -> None:
    python = packages.parents[2] / "bin" / "python"
    python.unlink()
    python.write_bytes(b"\0")
    python.chmod(0o755)


def _a_file(packages: Path) -> None:
    place = packages.parents[2]
    shutil.rmtree(place)
    place.write_text("", encoding="utf-8")


@pytest.mark.parametrize(
    "spoil",
    [
        _without_code,
        _without_everything,
        _other_words,
        _broken_cache,
        _odd_record,
        _without_path,
        _without_python,
        _no_program,
        _a_file,
    ],
    ids=lambda function: function.__name__.strip("_"),
)
def test_what_was_kept_and_is_broken_is_made_anew(spoil: Callable[[Path], None], kept: Runner) -> None:
    spoil(kept.packages())
    place = kept.works()
    assert kept.places() == [place], "nothing half-made is left"
    made = place.stat().st_ctime_ns
    assert kept.works() == place
    assert place.stat().st_ctime_ns == made, "what is whole is kept"


def test_what_does_not_import_is_not_kept(runner: Runner) -> None:
    lock = stand_in_wheel(runner.wheels, "import nowhere\n")
    (runner.action / "locks" / "runtime.txt").write_text(lock, encoding="utf-8")
    assert runner.fails().startswith("What was installed cannot be imported: ")
    assert runner.places() == []


def test_what_was_kept_and_cannot_be_made_anew_is_told_and_tried_again(kept: Runner) -> None:
    _other_words(kept.packages())
    wheels = kept.wheels.rename(kept.wheels.with_name("elsewhere"))
    assert kept.fails().startswith("pip could not install what the action needs: ")
    wheels.rename(kept.wheels)
    assert [kept.works()] == kept.places()


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
def test_a_cache_that_others_can_write_to_is_not_used(mode: int, runner: Runner, tmp_path: Path) -> None:
    runner.home.mkdir(parents=True)
    runner.home.chmod(mode)
    code, out, err = runner.ended(runner.start())
    assert (code, err) == (0, "")
    assert out == f"{runner.home} is not used: somebody else owns it or can write to it.\n"
    assert Path(runner.outputs()["reason"]).parent == tmp_path / "ecs-gpu-deploy"
    assert runner.places() == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to somebody else")
@pytest.mark.parametrize("whose", ["home", "place"])
def test_what_somebody_else_owns_is_never_run(whose: str, runner: Runner, tmp_path: Path) -> None:
    place = runner.works()
    python = place / "bin" / "python"
    python.unlink()
    python.write_text(f"#!/bin/sh\ntouch {tmp_path}/taken\n", encoding="utf-8")
    python.chmod(0o755)
    owned = runner.home if whose == "home" else place
    os.chown(owned, 12345, 12345)
    code, out, err = runner.ended(runner.start())
    assert (code, err) == (0, "")
    assert not (tmp_path / "taken").exists()
    ran_in = Path(runner.outputs()["reason"])
    if whose == "home":
        assert ran_in.parent == tmp_path / "ecs-gpu-deploy"
        assert "is not used" in out
    else:
        assert (ran_in, out) == (place, "")
        assert place.stat().st_uid == 0


def test_a_cache_that_is_a_link_is_not_used(runner: Runner, tmp_path: Path) -> None:
    runner.home.parent.mkdir()
    (tmp_path / "checkout").mkdir()
    runner.home.symlink_to(tmp_path / "checkout")
    assert runner.ended(runner.start())[0] == 0
    assert list((tmp_path / "checkout").iterdir()) == []


def test_no_folder_to_install_into(runner: Runner) -> None:
    places = [runner.home, runner.home.parent.parent / "ecs-gpu-deploy"]
    places.append(runner.action / ".tools" / "ecs-gpu-deploy")
    for place in places:
        place.mkdir(parents=True)
        place.chmod(0o777)
    code, _, err = runner.ended(runner.start())
    assert code == 1
    assert err.startswith("error: The action finds no folder to install itself into: ")
    assert list(runner.outputs()) == THREE


def _without_pip_s_child(runner: Runner) -> None:
    for pid in processes_of(runner.home):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("orphan", ["its pip goes on", "its pip ends too"])
def test_what_a_job_killed_in_the_middle_leaves_is_removed_by_the_next(orphan: str, runner: Runner) -> None:
    with hanging_index() as (address, asked):
        hung = {"PIP_NO_INDEX": "0", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": address}
        killed = runner.start(**hung)
        assert asked.wait(60)
        killed.kill()
        killed.communicate()
        (half,) = runner.places()
        assert (half / "bin" / "python").exists()
        if orphan == "its pip ends too":
            _without_pip_s_child(runner)
            place = runner.works()
            assert runner.places() == [place]
            return
        following = runner.start()
        with pytest.raises(subprocess.TimeoutExpired):
            following.wait(timeout=1)
        _without_pip_s_child(runner)
        assert runner.ended(following) == (0, "", "")
        assert runner.places() == [Path(runner.outputs()["reason"])]


@pytest.mark.parametrize("numbers", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGTERM]])
def test_a_job_cancelled_while_it_installs_says_so_and_leaves_nothing(
    numbers: list[signal.Signals], runner: Runner
) -> None:
    with hanging_index() as (address, asked):
        process = runner.start(PIP_NO_INDEX="0", PIP_FIND_LINKS="", PIP_INDEX_URL=address)
        assert asked.wait(60)
        for number in numbers:
            process.send_signal(number)
        code, _, err = runner.ended(process)
        assert processes_of(runner.home) == [], "pip goes on"
    assert (code, len(err.splitlines())) == (10, 1)
    assert list(runner.outputs()) == THREE
    assert runner.outputs()["outcome"] == "cancelled"
    assert runner.places() == []


def test_four_jobs_at_once_install_once(runner: Runner) -> None:
    jobs = [runner.start() for _ in range(4)]
    assert [runner.ended(job) for job in jobs] == [(0, "", "")] * 4
    assert len(runner.places()) == 1


def test_two_jobs_at_once_find_the_same_broken_environment(kept: Runner) -> None:
    _other_words(kept.packages())
    jobs = [kept.start() for _ in range(2)]
    assert [kept.ended(job) for job in jobs] == [(0, "", "")] * 2
    assert len(kept.places()) == 1


@pytest.mark.parametrize("gone", ["/dev/full", "a folder", "nowhere"])
def test_outputs_that_cannot_be_written_add_no_traceback(gone: str, runner: Runner, tmp_path: Path) -> None:
    (runner.action / "locks" / "runtime.txt").unlink()
    path = {"a folder": str(tmp_path), "nowhere": "/nowhere/output"}.get(gone, gone)
    code, _, err = runner.ended(runner.start(GITHUB_OUTPUT=path))
    assert (code, len(err.splitlines())) == (1, 1)


def test_a_log_that_is_closed_keeps_the_outputs(runner: Runner) -> None:
    (runner.action / "locks" / "runtime.txt").unlink()
    words = ["bash", "-c", f"exec python3 -I '{runner.action}/bootstrap.py' >&- 2>/dev/full"]
    output = runner.action.parent / "output"
    environment = {**runner.environment, "GITHUB_OUTPUT": str(output)}
    assert subprocess.run(words, env=environment, check=False).returncode == 1
    assert list(runner.outputs()) == THREE
