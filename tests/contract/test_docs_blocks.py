"""Every block of code in README and docs is a workflow, inputs, a world, a command line or JSON that works.

The pages of docs/ci are run in test_ci_pages.py, whole workflow files are in test_workflow_examples.py.
"""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from action_tools import ROOT, diagnostics
from test_workflows import linted
from tools.action_metadata import OUTPUTS, action_options

from ecs_gpu_deploy.cli import OTHER_COMMANDS, ROLLOUT_COMMANDS
from ecs_gpu_deploy.core.rules.rule import rules_with
from ecs_gpu_deploy.inputs.config_file import config_values
from ecs_gpu_deploy.inputs.settings import settings_from
from ecs_gpu_deploy.sandbox.world.world import World

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHOWN = {"mermaid"}
"""What is looked at, not run."""


def blocks(*languages):
    for page in PAGES:
        found = BLOCK.findall(page.read_text(encoding="utf-8"))
        for number, (language, text) in enumerate(found, start=1):
            if not languages or language in languages:
                yield pytest.param(language, text, id=f"{page.name}-{number}")


def inputs_of(step):
    """Give a step's inputs as GitHub would hand them over, an expression standing for a text."""
    return {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in step["with"].items()
    }


def taken(step):
    inputs = inputs_of(step)
    inputs.pop("profile", "")
    settings_from(inputs.pop("command", "deploy"), inputs=inputs)


@pytest.mark.parametrize(("language", "text"), [*blocks()])
def test_a_block_is_of_a_kind_that_is_tested(language, text):
    assert language in {"sh", "console", "yaml", "json", "hcl", *SHOWN}, text


@pytest.mark.parametrize(("language", "text"), [*blocks("yaml")])
def test_yaml_is_a_workflow_inputs_rules_or_a_world(tmp_path, language, text):
    body = yaml.safe_load(text)
    if isinstance(body, list):
        assert rules_with(text, name="rules.yml")
        return
    if "jobs" in body:
        (tmp_path / "workflow.yml").write_text(text)
        assert diagnostics(tmp_path / "workflow.yml") == []
        assert linted(tmp_path / "workflow.yml") == []
        steps = [step for job in body["jobs"].values() for step in job.get("steps", ())]
    else:
        steps = body.get("steps", [body] if "with" in body else [])
    if "profiles" in body:
        for profile in ("", *body["profiles"]):
            settings_from("deploy", config=config_values(text, name="config.yml", profile=profile))
        return
    ours = [step for step in steps if "/ecs-gpu-deploy@" in step.get("uses", "/ecs-gpu-deploy@")]
    for step in ours:
        taken(step)
    if not ours:
        World.from_text(text, name="world.yml")


def command_lines():
    for one in blocks("sh", "console"):
        language, text = one.values
        lines = text.replace("\\\n", " ").splitlines()
        for line in lines if language == "sh" else [line[2:] for line in lines if line.startswith("$ ")]:
            if line.strip():
                yield pytest.param(line, id=f"{one.id}-{line[:40]}")


@pytest.mark.parametrize("line", [*command_lines()])
def test_a_command_line_is_one_that_is_taken(line):
    program, *words = shlex.split(line, comments=True)
    if program == "eval":
        [inner] = words
        program, *words = shlex.split(inner.removeprefix("$(").removesuffix("&)"))
    if program == "make":
        targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert words[0] in targets
    elif program == "ecs-gpu-deploy":
        command, *flags = words
        if command in OTHER_COMMANDS:
            return
        assert command in ROLLOUT_COMMANDS
        named = [[*flags[at : at + 2], "true"][:2] for at, word in enumerate(flags) if word.startswith("--")]
        settings_from(command, argv={flag[2:]: [value] for flag, value in named})
    else:
        assert program in {"pip", "aws", "terraform", "curl"}, line


def test_a_guide_builds_an_image_for_the_instances_and_not_for_the_reader_s_laptop():
    guides = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("example-*/README.md")]
    guides += [*ROOT.glob("example-*/Makefile")]
    building = re.compile(r"\bdocker (?:buildx )?build (?=[-$])")
    lines = [
        (guide.name, line)
        for guide in guides
        for line in guide.read_text(encoding="utf-8").splitlines()
        if building.search(line) and not line.startswith("|")
    ]
    assert {name for name, _ in lines} >= {"README.md", "Makefile"}
    assert [line for line in lines if "--platform linux/amd64" not in line[1]] == []


@pytest.mark.parametrize(("language", "text"), [*blocks("json")])
def test_json_is_json(language, text):
    assert json.loads(text)["Version"] == "2012-10-17", "so far each is a policy of IAM"


def test_every_picture_and_page_that_is_linked_is_there():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_each_page_is_reached_from_the_readme():
    linked = {
        Path(page.parent, link).resolve()
        for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md")
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    }
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {page.name for page in linked} == set()


def test_what_stands_for_an_input_or_output_of_the_official_actions_is_there():
    actions = yaml.safe_load((ROOT / "tools" / "official_actions.yml").read_text(encoding="utf-8"))
    inputs = {option.name for option in action_options()}
    for name, action in actions.items():
        for theirs, stands in action["inputs"].items():
            assert stands.get("input") in inputs or (stands.keys() == {"differs"}), f"{name}: {theirs}"
        for theirs, stands in action["outputs"].items():
            assert stands.get("output") in OUTPUTS or (stands.keys() == {"differs"}), f"{name}: {theirs}"
