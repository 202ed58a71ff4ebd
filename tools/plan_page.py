"""`make plan-page`: run plan and a preflight on the local AWS, and write into docs/plan.md what they print.

Each output stands there between `begin: NAME` and `end: NAME`; a test compares it with what the program
prints. Run with PYTHONPATH=tests.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from forked_program import run_forked
from program import image
from sandbox_process import RunningSandbox, clean_environment, sandbox_thread
from tools.docs import ROOT, with_part
from worlds import default_world

PAGE = ROOT / "docs" / "plan.md"
SERVICE: Final = "--cluster ki-cluster --service ki-rag-api"
GOOD: Final = f"{SERVICE} --image {image('good')}"
GONE: Final = "--task-role-arn arn:aws:iam::123456789012:role/gone --log-options awslogs-group=/ecs/none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A command line and the part of what it prints that is shown, on the default world with `changes`."""

    line: str
    shown: Callable[[list[str]], Iterator[str]]
    changes: Mapping[str, Any] = field(default_factory=dict)


def _to_verdict(lines: list[str]) -> Iterator[str]:
    """Give all up to the verdict and what it says to turn."""
    for line in lines:
        if line.startswith(("warning:", "info:", "result:")):
            return
        yield line


def _from_verdict(lines: list[str]) -> Iterator[str]:
    told = list(_to_verdict(lines))
    yield "…"
    yield from told[next(number for number, line in enumerate(told) if " — " in line) :]


def _checks(lines: list[str]) -> Iterator[str]:
    yield "…"
    yield from lines[lines.index("checks:") : next(n for n, line in enumerate(lines) if " — " in line)]


def _room(instances: int) -> Mapping[str, Any]:
    return {"instances": [{"type": "g5.xlarge", "count": instances, "availability_zones": ["a", "b"]}]}


OUTPUTS: Final[Mapping[str, tuple[Output, ...]]] = {
    "no room": (Output(line=f"plan {GOOD} --gpu-hourly-cost 1.26", shown=_to_verdict, changes=_room(2)),),
    "some room": (
        Output(line=f"plan {GOOD}", shown=_from_verdict, changes=_room(3)),
        Output(line=f"plan {GOOD}", shown=_from_verdict, changes=_room(4)),
    ),
    "checks": (
        Output(
            line=f"plan {GOOD} {GONE}",
            shown=_checks,
            changes={"log_groups": [], "deny": ["ecs:UpdateService"]},
        ),
    ),
    "preflight": (
        Output(line=f"deploy {GOOD} --preflight error", shown=_from_verdict, changes=_room(2)),
        Output(line=f"deploy {GOOD} --preflight warn", shown=iter, changes=_room(4)),
    ),
}


def _printed(sandbox: RunningSandbox, folder: Path, output: Output) -> str:
    environment = clean_environment(sandbox)
    log = run_forked(output.line.split(), folder, environment).shown
    shown = (line.rstrip() for line in output.shown(log.splitlines()))
    return "\n".join([f"$ ecs-gpu-deploy {output.line}", *shown])


def texts() -> dict[str, str]:
    """Return each part of the page: its name → a block with the command line and what it prints."""
    written, started = {}, {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as sandboxes:
        for name, outputs in OUTPUTS.items():
            parts = []
            for output in outputs:
                world = json.dumps({**default_world(), **output.changes})
                if world not in started:
                    started[world] = sandboxes.enter_context(sandbox_thread(world))
                parts.append(_printed(started[world], Path(folder), output))
            written[name] = "\n".join(["```console", "\n\n".join(parts), "```"])
    return written


def page() -> str:
    """Return docs/plan.md with its outputs as they are today."""
    text = PAGE.read_text(encoding="utf-8")
    for name, block in texts().items():
        text = with_part(text, name, block)
    return text


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
