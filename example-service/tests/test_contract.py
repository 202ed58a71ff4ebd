"""Schemathesis reads the service's own OpenAPI document and tries to break what it promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from running import Running


def test_schemathesis_finds_nothing(service: Running, tmp_path: Path) -> None:
    """Examples, boundary values of every field, and generated good and bad requests; all of its checks."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json"]
    options = ["--checks", "all", "--mode", "all", "--max-examples", "60", "--seed", "7", "--no-color"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, cwd=tmp_path, timeout=110)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "No issues found" in done.stdout
