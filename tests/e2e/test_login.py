"""login: Docker gets each registry's password on standard input, and keeps it where the user's logins are."""

from program import run
from sandbox_process import sandbox_thread

STAND_IN = """#!/bin/sh
[ "$1" = login ] || exit 0
read -r password
echo "$* [$password] in ${DOCKER_CONFIG:-nowhere}" >> "$HOME/logins"
"""
PUBLIC_PASSWORD = "sandbox-public-registry-password"
OWN = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


def _runner(folder):
    """Make a Docker that writes down what it is asked; return the environment."""
    (folder / "bin").mkdir()
    docker = folder / "bin" / "docker"
    docker.write_text(STAND_IN)
    docker.chmod(0o755)
    return {
        "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
        "HOME": str(folder),
        "DOCKER_CONFIG": str(folder / "config"),
        "GITHUB_ACTIONS": "true",
    }


def test_it_logs_in_to_each_registry_and_stays(tmp_path):
    with sandbox_thread() as sandbox:
        flags = ("--registry", "210987654321", "--registry", "public.ecr.aws")
        ran = run(sandbox, tmp_path, "login", *flags, **_runner(tmp_path))
    assert ran.exit_code == 0, ran.shown
    other = OWN.replace("123456789012", "210987654321")
    assert ran.result["registry"] == f"{other}\npublic.ecr.aws"
    first, second = (tmp_path / "logins").read_text().splitlines()
    assert first.startswith(f"login --username AWS --password-stdin {other} [")
    where = f"in {tmp_path / 'config'}"
    assert second == f"login --username AWS --password-stdin public.ecr.aws [{PUBLIC_PASSWORD}] {where}"
    assert f"::add-mask::{PUBLIC_PASSWORD}" in ran.shown
    assert ran.shown.count(PUBLIC_PASSWORD) == 1
    assert "docker logout public.ecr.aws" in ran.shown
    assert ran.changes == []


def test_without_a_name_it_is_the_accounts_own_registry(tmp_path):
    with sandbox_thread() as sandbox:
        ran = run(sandbox, tmp_path, "login", **_runner(tmp_path))
    assert (ran.exit_code, ran.result["registry"], ran.result["cluster"]) == (0, OWN, ""), ran.shown


def test_a_registry_that_is_named_twice_is_logged_in_to_once(tmp_path):
    with sandbox_thread() as sandbox:
        flags = ("--registry", "123456789012", "--registry", f"{OWN}/ki-rag-api:v1")
        ran = run(sandbox, tmp_path, "login", *flags, **_runner(tmp_path))
    assert (ran.exit_code, ran.result["registry"]) == (0, OWN), ran.shown
    assert len((tmp_path / "logins").read_text().splitlines()) == 1
