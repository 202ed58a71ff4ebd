"""The examples of the module's use: locked, planned on the sandbox, their states in S3 and locked as well."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prerequisites import needs_terraform
from terraform_run import INFRA, Workspace

from sandbox_process import RunningSandbox, sandbox_thread

EXAMPLES = ("minimal", "complete")
BOUNDS = re.compile(r'source  = "hashicorp/aws"\n\s+version = "(.+)"')


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_lock_holds_one_provider_by_its_hashes_for_every_platform(example: str) -> None:
    lock = (INFRA / "examples" / example / ".terraform.lock.hcl").read_text(encoding="utf-8")
    assert re.findall(r'^provider "(.+)" \{$', lock, re.MULTILINE) == ["registry.terraform.io/hashicorp/aws"]
    assert len(re.findall(r'"zh:[0-9a-f]{64}",', lock)) == 15
    assert "://" not in lock


def test_every_module_takes_the_provider_that_is_tested_and_no_next_major() -> None:
    [tested] = {
        found[1]
        for lock in (INFRA / "examples").glob("*/.terraform.lock.hcl")
        if (found := re.search(r'version     = "(.+)"', lock.read_text(encoding="utf-8")))
    }
    major, minor, _ = tested.split(".")
    bounds = {
        file.relative_to(INFRA).as_posix(): found[1]
        for file in [*INFRA.rglob("*.tf")]
        if (found := BOUNDS.search(file.read_text(encoding="utf-8")))
    }
    assert set(bounds.values()) == {f">= {major}.{minor}, < {int(major) + 1}.0"}
    assert {path.parent.relative_to(INFRA).as_posix() for path in INFRA.rglob("variables.tf")} <= {
        Path(name).parent.as_posix() for name in bounds
    }


def test_the_module_and_its_parts_configure_no_provider() -> None:
    files = [*INFRA.glob("*.tf"), *INFRA.glob("modules/*/*.tf")]
    assert [file for file in files if re.search(r"^provider ", file.read_text("utf-8"), re.MULTILINE)] == []


def test_every_environment_has_a_state_and_values_of_its_own() -> None:
    folder = INFRA / "examples/complete"
    states = {
        path.name.removesuffix(".s3.tfbackend"): path.read_text("utf-8")
        for path in folder.glob("*.s3.tfbackend")
    }
    values = {path.stem: path.read_text("utf-8") for path in folder.glob("*.tfvars")}
    assert states.keys() == values.keys() == {"staging", "production"}
    assert len({re.search(r'key += "(.+)"', text)[1] for text in states.values()}) == 2  # type: ignore[index]
    assert all(f'= "{environment}"\n' in text for environment, text in values.items())
    assert all("use_lockfile = true" in (folder.parent / name / "main.tf").read_text() for name in EXAMPLES)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with sandbox_thread("{}") as running:
        yield running


@needs_terraform
@pytest.mark.parametrize(
    ("example", "options"), [("minimal", []), ("complete", ["-var-file=production.tfvars"])]
)
def test_an_example_is_planned(
    sandbox: RunningSandbox, tmp_path: Path, example: str, options: list[str]
) -> None:
    workspace = Workspace.copied(tmp_path, endpoint=sandbox.endpoint, example=example)
    ran = workspace.run("plan", "-no-color", "-detailed-exitcode", "-input=false", *options)
    assert ran.exit_code == 2, ran.shown[-6000:]
    assert "0 to change, 0 to destroy" in ran.shown


@needs_terraform
def test_the_state_lies_in_s3_and_is_locked(sandbox: RunningSandbox, tmp_path: Path) -> None:
    with sandbox.client("s3", s3={"addressing_style": "path"}) as s3:
        s3.create_bucket(Bucket="state", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        backend = (
            (INFRA / "examples/minimal/main.tf").read_text("utf-8").split('backend "s3"')[1].split("}")[0]
        )
        (tmp_path / "main.tf").write_text(
            f'terraform {{\n  backend "s3"{backend}}}\n}}\nresource "terraform_data" "one" {{}}\n', "utf-8"
        )
        keys = {"AWS_ACCESS_KEY_ID": "sandbox", "AWS_SECRET_ACCESS_KEY": "sandbox"}
        workspace = Workspace.bare(tmp_path, endpoint=sandbox.endpoint, **keys)
        given = {"bucket": "state", "region": "eu-central-1", "use_path_style": "true"}
        given |= {"skip_credentials_validation": "true", "skip_metadata_api_check": "true"}
        ran = workspace.run("init", *(f"-backend-config={name}={value}" for name, value in given.items()))
        assert ran.exit_code == 0, ran.shown
        workspace.apply()
        assert [one["Key"] for one in s3.list_objects_v2(Bucket="state")["Contents"]] == ["rag-trial.tfstate"]
        s3.put_object(Bucket="state", Key="rag-trial.tfstate.tflock", Body=b'{"ID":"somebody-else"}')
        refused = workspace.run("plan", "-no-color", "-lock-timeout=0s")
    assert refused.exit_code == 1
    assert "Error acquiring the state lock" in refused.shown
