"""The README of example-infra is followed in a fresh clone, block by block.

Terraform and the AWS CLI are real and speak to the local AWS. Docker is stood in for: it notes what it is
told, and makes the API key as the image would, with the clone's own code. The image is built for real in
example-service/tests, and pushed for real by `make e2e`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import yaml
from github_job import make_way_for_terraform
from iam_requests import ACCOUNT
from prerequisites import needs_terraform
from terraform_run import INFRA, ROOT, SANDBOX_PROVIDER, plugin_folder
from test_apply import time_passes

from sandbox_process import clean_environment, sandbox_process

pytestmark = needs_terraform

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHOWN = {"mermaid"}
"""What is looked at, not run."""
KEY = "sk-of-the-language-model"
DOCKER = """#!/bin/sh
echo "$@" >>"$DOCKER_TOLD"
case "$1" in
  login) cat >/dev/null ;;
  run) shift 3; exec "$@" ;;
esac
"""


def cloned(folder: Path) -> Path:
    """Clone the repository, with what is not committed yet; give the clone."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", INFRA.name]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in names.split("\0")[:-1]:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    return clone


def fill_in(file: Path, pattern: str, value: str) -> None:
    """Write what a reader has of his own over what the example shows."""
    text, times = re.subn(pattern, value, file.read_text(encoding="utf-8"))
    assert times == 1, pattern
    file.write_text(text, encoding="utf-8")


def test_every_block_does_what_the_readme_says(tmp_path: Path) -> None:
    clone = cloned(tmp_path)
    example = clone / INFRA.name / "examples" / "complete"
    (example / "sandbox_override.tf").write_text(SANDBOX_PROVIDER, encoding="utf-8")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "docker").write_text(DOCKER, encoding="utf-8")
    (tools / "docker").chmod(0o755)
    told, stands = tmp_path / "docker.told", tmp_path / "stands"
    stands.write_text(str(clone / INFRA.name))
    state = ("use_path_style", "skip_credentials_validation", "skip_metadata_api_check")
    init = ["-input=false", "-no-color", *(f"-backend-config={name}=true" for name in state)]
    if plugins := plugin_folder():
        init.append(f"-plugin-dir={plugins}")
    world = {"github": {"repository": "your-org/your-repo"}}
    with sandbox_process(
        world, folder=tmp_path, start_time=datetime.now(UTC).isoformat(), patience=60
    ) as sandbox:
        make_way_for_terraform(sandbox)
        environment = {
            **clean_environment(sandbox),
            "PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(clone / "example-service" / "src"),
            "DOCKER_TOLD": str(told),
            "TF_CLI_CONFIG_FILE": os.devnull,
            "TF_IN_AUTOMATION": "1",
            # Who reads answers Terraform's question with yes.
            "TF_CLI_ARGS_apply": "-auto-approve -input=false -no-color",
            "TF_CLI_ARGS_destroy": "-auto-approve -input=false -no-color",
            "TF_CLI_ARGS_init": " ".join(init),
        }

        def run(block: str) -> str:
            """Run a block where the one before it ended, as in one terminal."""
            ran = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", f"{block}\npwd >{stands}"],
                cwd=stands.read_text().strip(),
                env=environment,
                input=f"{KEY}\n",
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert ran.returncode == 0, f"{block}\n{ran.stdout[-3000:]}\n{ran.stderr[-3000:]}"
            return ran.stdout

        with sandbox.client("acm") as client:
            made = client.request_certificate(DomainName="rag.example.com")["CertificateArn"]
        fill_in(example / "production.tfvars", r"arn:aws:acm:[^\"]+", made)
        said: list[str] = []
        for language, block in BLOCK.findall((clone / INFRA.name / "README.md").read_text(encoding="utf-8")):
            assert language in {"sh", *SHOWN}, block
            if language in SHOWN:
                continue
            if "terraform destroy" in block:
                with sandbox.client("secretsmanager") as client:
                    names = [entry["Name"] for entry in client.list_secrets()["SecretList"]]
                    secrets = {name: client.get_secret_value(SecretId=name)["SecretString"] for name in names}
                # As the block's first line says.
                fill_in(example / "main.tf", r"(?<=\n)  name  ", "  deletion_protection = false\n  name  ")
                with time_passes(sandbox):
                    said.append(run(block))
            else:
                said.append(run(block))
    *_, applied, destroyed = said
    repository = re.escape(f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com/rag-production")
    workflow = yaml.safe_load(applied[applied.rindex("name: deploy\non:") :])
    assert "deploy" in workflow["jobs"]
    assert KEY in secrets.values()
    [hashes] = [value for name, value in secrets.items() if "key-hashes" in name]
    assert re.fullmatch(r'\{"first": "[0-9a-f]{64}"\}\n', hashes)
    assert "Destroy complete!" in destroyed
    login, build, push, keys = told.read_text(encoding="utf-8").splitlines()
    assert login.startswith("login --username AWS --password-stdin ")
    assert re.fullmatch(
        rf"build --platform linux/amd64 --tag {repository}:live-first (\.\./)+example-service", build
    )
    assert re.fullmatch(rf"push {repository}:live-first", push)
    assert keys.endswith(":live-first python -m rag_service.keys first")
