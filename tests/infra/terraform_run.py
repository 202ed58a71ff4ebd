"""Terraform on a copy of example-infra, against the sandbox or with mocked providers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "example-infra"
LOCAL_STATE = """
terraform {
  backend "local" {}
}
"""
IN_FRANKFURT = """provider "aws" {
  region = "eu-central-1"

  default_tags {
    tags = { Application = "ki-rag-api", ManagedBy = "terraform" }
  }
"""
"""What whoever uses the module brings."""
SANDBOX_PROVIDER = """
provider "aws" {
  access_key                  = "sandbox"
  secret_key                  = "sandbox"
  max_retries                 = 3
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}
"""


def plugin_folder() -> str | None:
    """Return the folder of provider plugins that TF_PLUGIN_DIR names, as example-infra/Makefile finds it."""
    return os.environ.get("TF_PLUGIN_DIR") or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a Terraform command ended."""

    exit_code: int
    shown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A copy of the module, or of an example of its use, with its own state; `environment` is Terraform's."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def copied(cls, folder: Path, *, endpoint: str, example: str = "", **variables: str) -> Workspace:
        """Copy the module, bring a provider that talks to `endpoint`, and initialise it, or its example."""
        shutil.copytree(INFRA, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".terraform"))
        workspace = cls.bare(
            folder, endpoint=endpoint, **{f"TF_VAR_{name}": value for name, value in variables.items()}
        )
        if example:
            folder = folder / "examples" / example
            (folder / "sandbox_override.tf").write_text(LOCAL_STATE + SANDBOX_PROVIDER, encoding="utf-8")
        else:
            ours = SANDBOX_PROVIDER.replace('provider "aws" {\n', IN_FRANKFURT, 1)
            (folder / "provider.tf").write_text(ours, encoding="utf-8")
        workspace = replace(workspace, folder=folder)
        plugins = plugin_folder()
        locked = ["-lockfile=readonly"] if example else []
        ran = workspace.run("init", "-input=false", *locked, *([f"-plugin-dir={plugins}"] if plugins else []))
        assert ran.exit_code == 0, ran.shown
        return workspace

    @classmethod
    def bare(cls, folder: Path, *, endpoint: str, **environment: str) -> Workspace:
        """Return the folder as it is, with an environment that has no AWS but the one at `endpoint`."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_VAR_"))
        }
        own = {
            "AWS_EC2_METADATA_DISABLED": "true",
            "TF_IN_AUTOMATION": "1",
            "TF_CLI_CONFIG_FILE": os.devnull,
            "AWS_ENDPOINT_URL": endpoint,
        }
        return cls(folder=folder, environment=inherited | own | environment)

    def run(self, *arguments: str, timeout: float = 400) -> Ran:
        """Run one command."""
        ran = subprocess.run(
            ["terraform", *arguments],
            cwd=self.folder,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Ran(exit_code=ran.returncode, shown=ran.stdout + ran.stderr)

    def apply(self) -> None:
        """Apply; raise with Terraform's own words."""
        ran = self.run("apply", "-no-color", "-auto-approve", "-input=false")
        assert ran.exit_code == 0, ran.shown[-6000:]

    def plan(self) -> Ran:
        """Plan; exit code 0 is no change, 2 is some."""
        return self.run("plan", "-no-color", "-detailed-exitcode", "-input=false")

    def outputs(self) -> dict[str, Any]:
        """Return the outputs' values."""
        document = json.loads(self.run("output", "-json").shown)
        return {name: output["value"] for name, output in document.items()}
