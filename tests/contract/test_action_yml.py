"""action.yml says what the program takes and gives, and hands it over without a gap."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from action_tools import ROOT, diagnostics
from tools.action_metadata import (
    OUTPUTS,
    action_options,
    input_description,
    with_generated_sections,
)

from ecs_gpu_deploy.core.show.report import outputs
from ecs_gpu_deploy.inputs.options import OPTIONS
from ecs_gpu_deploy.result import Outcome, Result

TEXT = (ROOT / "action.yml").read_text(encoding="utf-8")
ACTION: dict[str, Any] = yaml.safe_load(TEXT)


def test_the_inputs_are_the_options() -> None:
    assert list(ACTION["inputs"]) == [option.name for option in action_options()]
    assert {option.name for option in OPTIONS if option.action} < set(ACTION["inputs"])


@pytest.mark.parametrize("option", action_options(), ids=lambda option: option.name)
def test_an_input_says_what_its_option_does_and_its_default(option: Any) -> None:
    declared = ACTION["inputs"][option.name]
    assert declared["description"] == input_description(option)
    assert option.default in declared["description"]
    # A default in action.yml would win over the configuration file (see action_metadata).
    assert declared.get("default", "") == ("deploy" if option.name == "command" else "")
    assert not declared.get("required", False)


def test_the_outputs_are_the_members_of_the_result() -> None:
    result = Result(command="deploy", outcome=Outcome.SUCCEEDED, exit_code=0, reason="")
    members = {field.name.replace("_", "-") for field in fields(Result)}
    assert set(outputs(result)) == members
    assert set(ACTION["outputs"]) == set(OUTPUTS) == members | {"result-file"}
    for name, output in ACTION["outputs"].items():
        assert output["value"] == "${{ steps.run.outputs." + name + " }}"
        assert output["description"] == OUTPUTS[name]


def test_the_sections_are_as_they_would_be_written_anew() -> None:
    assert with_generated_sections(TEXT) == TEXT, "action.yml is out of date: make docs"


def test_one_step_with_every_input_in_one_variable_and_no_expression_in_the_shell() -> None:
    assert ACTION["runs"]["using"] == "composite"
    (step,) = ACTION["runs"]["steps"]
    assert step["id"] == "run"
    assert step["shell"] == "bash"
    token = "${{ env.GITHUB_TOKEN || github.token }}"
    assert step["env"] == {"INPUTS": "${{ toJSON(inputs) }}", "GITHUB_TOKEN": token}
    assert "${{" not in step["run"]
    *_, last = step["run"].splitlines()
    assert last.startswith('exec "$python" -I '), "the program takes the shell's place"
    assert set(step) == {"id", "name", "shell", "env", "run"}


def test_what_the_marketplace_asks_for() -> None:
    assert len(ACTION["description"].strip()) <= 125
    assert re.fullmatch(r"[a-z-]+", ACTION["branding"]["icon"])
    assert ACTION["branding"]["color"] in {
        "white",
        "black",
        "yellow",
        "blue",
        "green",
        "orange",
        "red",
        "purple",
        "gray-dark",
    }


def test_githubs_language_service_finds_nothing_to_say() -> None:
    assert diagnostics(ROOT / "action.yml") == []


def test_githubs_language_service_would_have_said_so(tmp_path: Path) -> None:
    broken = tmp_path / "action.yml"
    broken.write_text(
        TEXT.replace("toJSON(inputs)", "toJSN(inputs)").replace("steps.run.outputs.reason", "stps.reason"),
        encoding="utf-8",
    )
    messages = " ".join(found["message"] for found in diagnostics(broken))
    assert "toJSN" in messages
    assert "stps" in messages
