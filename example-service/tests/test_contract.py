"""Schemathesis reads the service's own OpenAPI document and tries to break what it promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from conftest import tiny_settings
from rag_service.access import hash_of
from running import Running, running


def test_schemathesis_finds_nothing(service: Running, tmp_path: Path) -> None:
    """Examples, boundary values of every field, and generated good and bad requests; all of its checks."""
    schemathesis(service, tmp_path, "60")


def test_schemathesis_with_a_key_and_without_finds_nothing(index_uri: str, tmp_path: Path) -> None:
    """Its check ignored_auth asks again without the key and with a wrong one."""
    hashes = f'{{"me": "{hash_of("a-key")}"}}'
    asked = tiny_settings(index_uri, auth="keys", api_key_hashes=hashes, rate_limit_per_minute=0)
    with running(asked) as service:
        schemathesis(service, tmp_path, "2", "-H", "Authorization: Bearer a-key")


def schemathesis(service: Running, tmp_path: Path, examples: str, *more: str) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json", *more]
    options = ["--checks", "all", "--mode", "all", "--max-examples", examples, "--seed", "7", "--no-color"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, cwd=tmp_path, timeout=110)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "No issues found" in done.stdout
