"""The workflows to copy and the reusable ones that they call: each input is one of its command."""

from pathlib import Path

import pytest
import yaml
from action_tools import ROOT, diagnostics
from test_workflows import linted

from ecs_gpu_deploy.inputs.options import FILE_OPTIONS, OPTIONS
from ecs_gpu_deploy.inputs.settings import settings_from

EXAMPLES = sorted((ROOT / "docs" / "workflows").glob("*.yml"))
REUSABLE = {"deploy": "deploy", "rollback": "rollback", "batch": "run-task", "plan": "plan"}
"""File of the reusable workflow → the command that it runs."""
CALLED = "org/ecs-gpu-deploy/.github/workflows/"
STANDING_FOR = {
    "to": "previous",
    "image": "registry.example.com/rag:1",
    "service": "ki-rag-api",
    "region": "eu-central-1",
}
NEEDED = {"contents": "read", "id-token": "write"}
COMMENTS = {"plan": {"pull-requests": "write"}}
"""What a reusable workflow needs besides: a plan is written into the pull request."""


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def reusable(name):
    return read(ROOT / ".github" / "workflows" / f"{name}.yml")


def inputs_of(name):
    return reusable(name)[True]["workflow_call"]["inputs"]  # YAML 1.1 reads `on` as true


def jobs():
    for path in EXAMPLES:
        for name, job in read(path)["jobs"].items():
            yield pytest.param(job, id=f"{path.name}-{name}")


def told(given):
    """Give texts as the program gets them, an expression standing for one."""
    return {
        name: STANDING_FOR.get(name, "x") if "${{" in str(value) else str(value).strip()
        for name, value in given.items()
    }


@pytest.mark.parametrize("job", [*jobs()])
def test_an_example_gives_only_inputs_of_its_command(job):
    if "uses" in job:
        name = job["uses"].removeprefix(CALLED).removesuffix(".yml@v1")
        own = {option.name for option in (*OPTIONS, *FILE_OPTIONS) if REUSABLE[name] in option.commands}
        assert set(job["with"]) <= set(inputs_of(name))
        for one, value in job["with"].items():
            number = inputs_of(name)[one]["type"] == "number"
            assert "${{" in str(value) or isinstance(value, int if number else str), one
        settings_from(REUSABLE[name], inputs=told({n: v for n, v in job["with"].items() if n in own}))
    else:
        for step in job["steps"]:
            inputs = told(step["with"])
            settings_from(inputs.pop("command"), inputs=inputs)


@pytest.mark.parametrize("job", [*jobs()])
def test_an_example_gives_no_more_rights_than_it_needs(job):
    name = job.get("uses", "").removeprefix(CALLED).removesuffix(".yml@v1")
    needed = {**NEEDED, **COMMENTS.get(name, {})} if name else {"id-token": "write"}
    assert job["permissions"] == needed
    assert "uses" in job or job["timeout-minutes"] > 0


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_has_no_rights_but_those_of_its_jobs(path):
    assert read(path)["permissions"] == {}


def test_the_language_service_finds_nothing_in_the_examples():
    assert diagnostics(*EXAMPLES) == []


def test_actionlint_finds_nothing_in_the_examples():
    assert linted(*EXAMPLES) == []


@pytest.mark.parametrize(("name", "command"), REUSABLE.items())
def test_a_reusable_workflow_takes_and_hands_on_every_input_of_its_command(name, command):
    workflow = reusable(name)
    [job] = workflow["jobs"].values()
    step = job["steps"][-1]
    options = [option for option in (*OPTIONS, *FILE_OPTIONS) if option.action and command in option.commands]
    secrets = workflow[True]["workflow_call"].get("secrets", {})
    own = {"github-environment", "runs-on", "timeout-minutes", "concurrency-group"}
    assert set(inputs_of(name)) - own == {option.name for option in options if not option.secret}
    assert set(secrets) == {option.name for option in options if option.secret}
    source = {**dict.fromkeys(inputs_of(name), "inputs"), **dict.fromkeys(secrets, "secrets")}
    assert step["with"] == {
        "command": command,
        **{option.name: "${{ " + f"{source[option.name]}.{option.name}" + " }}" for option in options},
    }
    assert step["uses"] == "org/ecs-gpu-deploy@v1"
    assert (job["permissions"], workflow["permissions"]) == ({**NEEDED, **COMMENTS.get(name, {})}, {})


@pytest.mark.parametrize("name", REUSABLE)
def test_a_reusable_workflow_passes_every_output_of_the_action(name):
    workflow = reusable(name)
    [(job_id, job)] = workflow["jobs"].items()
    outputs = read(ROOT / "action.yml")["outputs"]
    told_by_the_workflow = workflow[True]["workflow_call"]["outputs"]
    assert set(told_by_the_workflow) == set(job["outputs"]) == set(outputs)
    for output in outputs:
        assert told_by_the_workflow[output]["value"] == "${{ " + f"jobs.{job_id}.outputs.{output}" + " }}"
        assert job["outputs"][output] == "${{ steps.run.outputs." + output + " }}"


def test_a_rollback_waits_for_nothing_and_nothing_takes_its_place():
    assert "concurrency" not in reusable("rollback")
    assert all("concurrency" not in job for job in reusable("rollback")["jobs"].values())
    assert "concurrency" not in read(Path(ROOT, "docs", "workflows", "rollback.yml"))
    for name in ("deploy", "batch"):
        [job] = reusable(name)["jobs"].values()
        assert job["concurrency"]["cancel-in-progress"] is False


def test_a_rollback_must_say_why():
    workflow = read(Path(ROOT, "docs", "workflows", "rollback.yml"))
    assert workflow[True]["workflow_dispatch"]["inputs"]["reason"]["required"]


@pytest.mark.parametrize("name", REUSABLE)
def test_a_reusable_workflow_checks_the_repository_out(name):
    """Inputs may be files, and .github/ecs-gpu-deploy.yml is read where it is there."""
    [checkout] = [step for step in steps_of(name) if "checkout" in step["uses"]]
    assert "if" not in checkout


@pytest.mark.parametrize("name", ["deploy", "batch", "plan"])
def test_two_environments_or_regions_do_not_take_each_other_s_place_in_the_queue(name):
    [job] = reusable(name)["jobs"].values()
    for place in ("github-environment", "config", "profile", "region", "cluster", "service"):
        assert f"inputs.{place}" in job["concurrency"]["group"]


def steps_of(name):
    [job] = reusable(name)["jobs"].values()
    return job["steps"]
