"""The scenarios of commands/*.yml: several runs of the program against one sandbox, and what the last says.

A scenario has a `world` (differences from the default one, or a whole one under `only`), `steps`, and what
is to `expect` of the last run. A step is one of: `run` (a command line, split at blanks; REGISTRY stands
for the repository's URI), with its `environment`; `aws` (service, operation, parameters); `advance`
(seconds); `faults` (a list of them); `file` (its name and what is in it).
"""

import json
import re
from pathlib import Path

import pytest
import yaml

from ecs_gpu_deploy.sandbox.world.world import World
from program import CHANGING, run_program
from sandbox_process import sandbox_thread
from scenario_run import REGISTRY, world_of

FOLDER = Path(__file__).parent / "commands"
SCENARIOS = [
    pytest.param(scenario, id=scenario["scenario"])
    for path in sorted(FOLDER.glob("*.yml"))
    for scenario in yaml.safe_load(path.read_text(encoding="utf-8"))
]


def _step(sandbox, step, folder):
    """Carry one step out; return the run where it is one."""
    if "run" in step:
        words = [word.replace("REGISTRY", REGISTRY) for word in step["run"].split()]
        return run_program(sandbox, folder, words, **step.get("environment", {}))
    if "aws" in step:
        service, operation, parameters = step["aws"]
        with sandbox.client(service) as client:
            getattr(client, operation)(**parameters)
    if "file" in step:
        name, content = step["file"]
        (folder / name).write_text(json.dumps(content).replace("REGISTRY", REGISTRY), encoding="utf-8")
    if "advance" in step:
        sandbox.advance(step["advance"])
    if "faults" in step:
        assert sandbox.ask("POST", "faults", step["faults"])[0] == 200
    return None


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario, tmp_path):
    wanted = scenario["expect"]
    world = scenario.get("world", {})
    document = world["only"] if "only" in world else world_of(world)
    with sandbox_thread(World.from_document(document, name="scenario")) as sandbox:
        runs = [run for step in scenario["steps"] if (run := _step(sandbox, step, tmp_path)) is not None]
        sandbox.ask("DELETE", "faults")
        with sandbox.client() as ecs:
            cluster = document["clusters"][0]
            named = [service["serviceName"] for service in document.get("services", ())]
            services = ecs.describe_services(cluster=cluster, services=named)["services"] if named else []
    ran = runs[-1]
    result, shown = ran.result, ran.shown
    assert result["outcome"] == wanted["outcome"], shown
    assert ran.exit_code == result["exit_code"] == wanted["exit_code"], shown
    assert "This is a bug of ours" not in shown
    for part in wanted.get("says", []):
        assert part in shown + json.dumps(result, ensure_ascii=False), shown
    for pattern in wanted.get("says_not", []):
        assert not re.search(pattern, shown), shown
    codes = [diagnosis["code"] for diagnosis in result["diagnoses"]]
    assert codes[: len(wanted.get("diagnoses", codes))] == wanted.get("diagnoses", codes), shown
    findings = {finding["code"] for finding in result["findings"]}
    assert set(wanted.get("findings", [])) <= findings, shown
    for operation, most in wanted.get("calls", {}).items():
        assert ran.operations.count(operation) <= most, f"{operation}: {ran.operations.count(operation)}"
    if wanted.get("changes_nothing"):
        assert not [name for name in ran.operations if name.startswith(CHANGING)], shown
    if "runs" in wanted:
        assert services[0]["taskDefinition"].endswith(f"/{wanted['runs']}"), shown
    if "exits" in wanted:
        assert [c["exit_code"] for task in result["tasks"] for c in task["containers"]] == wanted["exits"]
    assert result["duration_seconds"] <= wanted.get("latest", 7200), shown
