"""Every scenario of the YAML files beside this one: the program as a process, the sandbox over HTTP.

A scenario says how its world differs from the sandbox's default one, what is deployed, and what must come
out: outcome, exit code, diagnosis codes, and the latest second of AWS's time at which the verdict is there.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ecs_gpu_deploy.model import Outcome
from sandbox_process import clean_environment, sandbox_thread

FOLDER = Path(__file__).parent
DEFAULT_WORLD = (FOLDER.parents[1] / "src/ecs_gpu_deploy/sandbox/default_world.yml").read_text(
    encoding="utf-8"
)
REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/ki-rag-api"
CHANGING = ("Update", "Register", "Create", "Delete", "Deregister", "Stop", "Run", "Start", "Tag", "Put")


def _scenarios():
    for path in sorted(FOLDER.glob("*.yml")):
        for scenario in yaml.safe_load(path.read_text(encoding="utf-8")):
            yield pytest.param(scenario, id=scenario["scenario"])


def _merged(old, new):
    """Return *old* with *new* laid over it: mappings are merged, everything else is replaced."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}


def _world(differences):
    """Return the default world with the differences of a scenario.

    `service`, `target_group` and `container` are merged into the one there is, `images` are added, any
    other member replaces the default's.
    """
    world = yaml.safe_load(DEFAULT_WORLD)
    rest = dict(differences)
    world["services"][0] = _merged(world["services"][0], rest.pop("service", {}))
    world["services"][0] = {key: value for key, value in world["services"][0].items() if value is not None}
    world["target_groups"][0] = _merged(world["target_groups"][0], rest.pop("target_group", {}))
    containers = world["task_definitions"][0]["containerDefinitions"]
    containers[0] = _merged(containers[0], rest.pop("container", {}))
    containers[0] = {key: value for key, value in containers[0].items() if value is not None}
    world["images"] += rest.pop("images", [])
    return {**world, **rest}


def _flags(deploy):
    for name, value in deploy.items():
        if name == "image":
            yield from ("--image", value if "/" in value else f"{REGISTRY}:{value}")
        else:
            yield from (f"--{name}", str(value).lower() if isinstance(value, bool) else str(value))


@pytest.mark.parametrize("scenario", [*_scenarios()])
def test_scenario(scenario, tmp_path):
    wanted = scenario["expect"]
    with sandbox_thread(yaml.safe_dump(_world(scenario.get("world", {})))) as sandbox:
        result_file = tmp_path / "result.json"
        flags = {"cluster": "ki-cluster", "service": "ki-rag-api", **scenario["deploy"]}
        before = len(sandbox.calls())
        ran = subprocess.run(
            [sys.executable, "-m", "ecs_gpu_deploy", "deploy", *_flags(flags), "--result-file", result_file],
            env=clean_environment(sandbox, GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md")),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        shown = ran.stdout + ran.stderr
        result = json.loads(result_file.read_text(encoding="utf-8"))
        calls = [call["operation"] for call in sandbox.calls()[before:]]
        sandbox.ask("DELETE", "faults")
        with sandbox.client() as ecs:
            [service] = ecs.describe_services(cluster="ki-cluster", services=["ki-rag-api"])["services"]

    assert result["outcome"] == wanted["outcome"], shown
    assert ran.returncode == result["exit_code"] == Outcome(wanted["outcome"]).exit_code, shown
    assert "This is a bug of ours" not in shown
    assert result["reason"] in shown
    codes = [diagnosis["code"] for diagnosis in result["diagnoses"]]
    assert codes[: len(wanted.get("diagnoses", []))] == wanted.get("diagnoses", []), shown
    assert all(diagnosis["hint"] for diagnosis in result["diagnoses"])
    for part in wanted.get("says", []):
        assert part in shown + json.dumps(result, ensure_ascii=False), shown
    findings = [finding["code"] for finding in result["findings"] if finding["severity"] != "info"]
    assert findings == wanted.get("findings", findings)
    assert result["duration_seconds"] <= wanted.get("latest", 3600), shown
    assert result["duration_seconds"] >= wanted.get("earliest", 0), shown
    for operation, most in wanted.get("calls", {}).items():
        assert calls.count(operation) <= most, f"{operation}: {calls.count(operation)}"
    if "runs" in wanted:
        assert service["taskDefinition"].endswith(f"/{wanted['runs']}"), shown
    if wanted.get("changes_nothing"):
        assert not [name for name in calls if name.startswith(CHANGING)]
    waited = result["duration_seconds"]
    if waited > 120:
        assert len(calls) <= waited / 3 + 40, f"{len(calls)} calls in {waited} s"
    assert sum(result["api_calls"].values()) == len(calls)
    assert (tmp_path / "summary.md").read_text(encoding="utf-8").startswith("## ")
