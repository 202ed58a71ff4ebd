"""`make pictures`: run two deploys on the local AWS, draw their summaries and logs as GitHub shows them.

The texts lie beside the pictures in docs/pictures, and a test compares them with what the program prints, so
that no picture can go stale unseen. Run with PYTHONPATH=tests.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from forked_program import run_forked
from program import image
from sandbox_process import clean_environment, sandbox_thread

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "pictures"
DEPLOYS: Final[Mapping[str, str]] = {"succeeded": "good", "rolled-back": "bad"}
"""How a deploy ends → the tag of the image of the sandbox's own world that makes it end so."""
JOB: Final[Mapping[str, str]] = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "acme/rag",
    "GITHUB_SHA": "5f0c2d7e91b34a68c0ffee5d2b7a90e1f3c4d5b6",
    "GITHUB_RUN_ID": "12345678901",
    "GITHUB_RUN_ATTEMPT": "1",
    "GITHUB_JOB": "deploy",
    "GITHUB_ACTOR": "maria",
}


def texts() -> dict[str, str]:
    """Return what each deploy writes: file name → job summary (.md) and log (.txt), one after the other."""
    written = {}
    with sandbox_thread() as sandbox, tempfile.TemporaryDirectory() as folder:
        for name, tag in DEPLOYS.items():
            summary = Path(folder, f"{name}.md")
            flags = ("--cluster=ki-cluster", "--service=ki-rag-api", f"--image={image(tag)}")
            environment = clean_environment(sandbox, **JOB, GITHUB_STEP_SUMMARY=str(summary))
            log = run_forked(["deploy", *flags], Path(folder), environment).shown
            written[f"deploy-{name}.md"] = summary.read_text(encoding="utf-8").rstrip() + "\n"
            written[f"deploy-{name}.txt"] = log.rstrip() + "\n"
    return written


def main() -> int:
    """Write the texts and draw the pictures; return 2 where there is nothing to draw with."""
    chromium, node = shutil.which("chromium"), shutil.which("node")
    if not chromium or not node:
        print("make pictures needs Chromium and Node with npm.", file=sys.stderr)
        return 2
    written = texts()
    for name, text in written.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    pages = [
        {
            "kind": "summary" if name.endswith(".md") else "log",
            "title": "deploy" if name.endswith(".md") else "Run org/ecs-gpu-deploy@v1",
            "text": text,
            "path": str(FOLDER / name.replace(".md", "-summary.png").replace(".txt", "-log.png")),
        }
        for name, text in written.items()
    ]
    draw = [node, str(ROOT / "tools" / "pictures" / "draw.mjs"), chromium]
    subprocess.run(draw, input=json.dumps(pages), text=True, check=True)  # noqa: S603  (fixed words)
    return 0


if __name__ == "__main__":
    sys.exit(main())
