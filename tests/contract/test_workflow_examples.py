"""The workflows to copy: every input they set is one of the action's, for the command that they run."""

from pathlib import Path

import pytest
import yaml

from ecs_gpu_deploy.inputs.options import OPTIONS
from ecs_gpu_deploy.inputs.settings import settings_from

EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "workflows").glob("*.yml"))
STANDING_FOR = {"to": "previous", "supersede": "false"}


def _steps():
    for path in EXAMPLES:
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        for job in workflow["jobs"].values():
            for step in job["steps"]:
                yield pytest.param(workflow, job, step["with"], id=path.name)


@pytest.mark.parametrize(("workflow", "job", "inputs"), [*_steps()])
def test_an_example_sets_only_inputs_of_its_command(workflow, job, inputs):
    command = inputs["command"]
    values = {
        name: STANDING_FOR.get(name, "x") if "${{" in str(value) else str(value)
        for name, value in inputs.items()
    }
    settings = settings_from(command, inputs=values)
    assert settings.values.cluster == "ki-cluster"
    assert set(values) - {"command"} <= {option.name for option in OPTIONS if command in option.commands}


@pytest.mark.parametrize(("workflow", "job", "inputs"), [*_steps()])
def test_an_example_gives_no_more_rights_than_it_needs(workflow, job, inputs):
    assert workflow["permissions"] == {}
    assert job["permissions"] == {"id-token": "write"}
    assert job["timeout-minutes"] > 0


def test_a_rollback_must_say_why():
    workflow = yaml.safe_load((EXAMPLES[0].parent / "rollback.yml").read_text(encoding="utf-8"))
    reason = workflow[True]["workflow_dispatch"]["inputs"]["reason"]  # YAML 1.1 reads `on` as true
    assert reason["required"]
