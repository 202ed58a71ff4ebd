"""`make e2e`: tell the story, write the report.

Exit code 0 when all went as told, 1 when not, 2 where it cannot be told (1 with CI=true).
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from docker_services import PATH
from story.acts import NotAsTold, Telling, looked_at, play
from story.report import Story, as_html, markdown
from story.stage import ROOT, stage, why_not

NOTES = (
    "AWS is the sandbox: ECS is our model with real containers, what is beside it moto, the load balancer a "
    "stand-in that checks health, drains and sends real traffic.",
    "Tasks compute on the CPU (`ALLOW_CPU=1`): GPUs are booked and placed as on ECS, but none is there.",
    "One task. Health checks, grace period and deregistration delay are real, but short, the circuit breaker "
    "ends a deployment at its first failed task, and no alarm watches it for minutes more: all variables of "
    "`example-infra`.",
    "The layers of the image lie on this machine when a task starts, so a pull is short.",
    "The ingest is started by `run-task`: the service that uploads start wants a GPU of its own.",
    "The language model is down (nobody listens at its address): answers are quoted from the documents.",
)
FOLDER = ROOT / "build" / "e2e"
PICTURES = ("report.png", "page.png", "summary.png")


def main(arguments: Sequence[str]) -> int:
    """Tell it."""
    parser = argparse.ArgumentParser(prog="make e2e", description=__doc__)
    parser.add_argument(
        "--or-skip", action="store_true", help="end with 0 where it cannot be told, but in CI"
    )
    parser.add_argument(
        "--publish", action="store_true", help="put the report into docs/ when all went as told"
    )
    chosen = parser.parse_args(arguments)
    reason = why_not()
    if reason is not None:
        print(f"make e2e needs real parts, and here they cannot be had: {reason}.")
        if os.environ.get("CI") == "true":
            return 1
        return 0 if chosen.or_skip else 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended then, too
    shutil.rmtree(FOLDER / "pictures", ignore_errors=True)
    (FOLDER / "pictures").mkdir(parents=True)
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    telling = Telling(
        story=Story(date=date, machine=_machine(), parts=_parts(), notes=NOTES),
        kept=_write,
        folder=FOLDER / "pictures",
    )
    try:
        with ExitStack() as stack:
            with telling.act("Docker, a registry and the local AWS start") as act:
                ready = stack.enter_context(stage(FOLDER / "stage", store()))
                act.did.append(
                    "a daemon and a registry of its own, the sandbox with `--runtime docker` and GitHub's "
                    "issuer; meanwhile one start of the service is measured"
                )
            play(telling, ready)
    except NotAsTold:
        pass
    except KeyboardInterrupt:
        print("Cancelled.")
    except Exception:  # noqa: BLE001 - the act that it broke off is named in the report, here comes where
        traceback.print_exc()
    story = telling.story
    print(story.verdict)
    if story.failure:
        return 1
    _take_pictures(telling.folder)
    if chosen.publish:
        _publish(story)
    return 0


def store() -> Path:
    """Return the folder that keeps base image, wheels and layers for the next run."""
    return Path(os.environ.get("DOCKER_STORE") or ROOT / "build" / "docker").resolve()


def _machine() -> str:
    return f"{os.cpu_count()} cores of {platform.system()} {platform.machine()}, no GPU"


def _parts() -> tuple[str, ...]:
    commands = (
        ("Docker", ["dockerd", "--version"]),
        ("Terraform", ["terraform", "version"]),
        ("Node", ["node", "--version"]),
    )
    told = []
    for name, command in commands:
        ran = subprocess.run(
            command, env={"PATH": f"{PATH}:{os.environ['PATH']}"}, capture_output=True, text=True, check=False
        )
        told.append(f"{name}: {ran.stdout.partition(chr(10))[0].removeprefix(name).strip()}")
    locks = (ROOT / "example-service" / "locks" / "torch-cpu.txt").read_text(encoding="utf-8")
    told.append(
        f"torch: {locks.partition('torch==')[2].split()[0]} for CPUs, with the model all-MiniLM-L6-v2"
    )
    return tuple(told)


def _write(story: Story) -> None:
    (FOLDER / "report.md").write_text(markdown(story, pictures="pictures/"), encoding="utf-8")
    (FOLDER / "report.html").write_text(as_html(story, pictures="pictures"), encoding="utf-8")


def _take_pictures(folder: Path) -> None:
    looked_at(
        {
            "url": (FOLDER / "report.html").as_uri(),
            "path": str(folder / "report.png"),
            "width": 1100,
            "height": 760,
        },
    )


def _publish(story: Story) -> None:
    docs = ROOT / "docs"
    (docs / "pictures").mkdir(exist_ok=True)
    for name in PICTURES:
        shutil.copy(FOLDER / "pictures" / name, docs / "pictures" / f"end-to-end-{name}")
    (docs / "end-to-end.md").write_text(markdown(story, pictures="pictures/end-to-end-"), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
