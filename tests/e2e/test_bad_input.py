"""Bad input: exit 2, one sentence that names what was meant, and nothing in AWS changed."""

import json

import pytest

from program import act, deploy, image
from sandbox_process import sandbox_thread


@pytest.fixture(scope="module")
def sandbox():
    with sandbox_thread() as running:
        yield running


def _file(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")
    return name


GOOD_FILE = json.dumps({"family": "f", "containerDefinitions": [{"name": "a", "image": "x:1"}]})
TWO = json.dumps(
    {
        "family": "f",
        "containerDefinitions": [{"name": "rag", "image": "x:1"}, {"name": "otel", "image": "y:1"}],
    }
)

CASES = {
    "a cluster that nobody names": ({"cluster": None}, [], "no cluster 'default'"),
    "an ARN of another cluster's service": (
        {"service": "arn:aws:ecs:eu-central-1:123456789012:service/other/ki-rag-api"},
        [],
        "cluster is 'ki-cluster', and the ARN of service names the cluster 'other'",
    ),
    "a missing service": ({"service": None}, [], "The service is missing"),
    "a cluster that does not exist": ({"cluster": "ki-clutser"}, ["--image", image("good")], "no cluster"),
    "a service that does not exist names those that do": (
        {"service": "ki-rag"},
        ["--image", image("good")],
        "it has ki-rag-api",
    ),
    "an empty service": ({"service": ""}, [], "--service is empty"),
    "no service, with a task definition": (
        {"service": None},
        ["--task-definition", "td.json"],
        "The command register makes a revision",
    ),
    "an empty image": ({}, ["--image", ""], "--image is empty"),
    "a container that does not exist names those that do": (
        {},
        ["--image", image("good"), "--container", "rag"],
        "ki-rag-api",
    ),
    "an image that is none": ({}, ["--image", "Repo/With Space"], "cannot be read"),
    "a tag that is not in ECR": ({}, ["--image", image("nope")], "is not in ECR"),
    "no tag": ({}, ["--image", image("good").rpartition(":")[0]], "which without a tag means latest,"),
    "a Region with spaces": ({}, ["--region", "eu central 1"], "There is no AWS Region 'eu central 1'"),
    "a repository that does not exist": (
        {},
        ["--image", image("good").replace("ki-rag-api", "ki-rag")],
        "no ECR repository 'ki-rag'",
    ),
    "a family that does not exist": ({}, ["--task-definition", "ki-rag"], "no task definition 'ki-rag'"),
    "a revision that does not exist": ({}, ["--task-definition", "ki-rag-api:99"], "'ki-rag-api:99'"),
    "a file that does not exist": ({}, ["--task-definition", "td.json"], "no file 'td.json'"),
    "an unknown flag": ({}, ["--placment-timeout", "5"], "Did you mean --placement-timeout?"),
    "a duration that is none": ({}, ["--timeout", "soon"], "timeout is 'soon'"),
    "a timeout of 0": ({}, ["--timeout", "0"], "not longer than 0"),
    "a poll interval of 0": ({}, ["--poll-interval", "0"], "poll-interval is '0'"),
    "a boolean that is none": ({}, ["--force-new-deployment", "si"], "not a boolean"),
    "a choice that is none": ({}, ["--on-timeout", "stop"], "one of leave, rollback"),
    "a GPU count that is none": ({}, ["--gpu", "two"], "gpu is 'two'"),
    "an environment line without a name": ({}, ["--environment", "=x"], "environment"),
    "a set that is no mapping": ({}, ["--set", "cpu"], "set is 'cpu'"),
    "a set path that matches nothing": (
        {},
        ["--set", "containerDefinitions[?name=='rag'].cpu: 5"],
        "ki-rag-api",
    ),
    "a health check without a command": ({}, ["--health-check", "interval: [1"], "health-check"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_with_one_sentence_and_nothing_changes(sandbox, tmp_path, case):
    named, flags, sentence = CASES[case]
    run = deploy(sandbox, tmp_path, *flags, **named)
    assert run.exit_code == 2, run.shown
    assert sentence in run.shown
    assert run.changes == []
    assert "Traceback" not in run.shown
    if run.result:
        assert run.result["outcome"] == "invalid"
        assert run.result["exit_code"] == 2
        assert run.result["reason"]


BEFORE_AWS = {
    "a set path that is none": (["--set", "'x[?name==': 1"], "cannot be read from"),
    "a set path to what only AWS sets": (["--set", "revision: 3"], "only AWS sets"),
    "a tag in AWS's name space": (["--tags", "aws:x=1"], "'aws:x'"),
    "a misspelt member of the health check": (["--health-check", "intervall: 3"], "'intervall'"),
    "a size in a unit that ECS does not know": (["--task-memory", "16 GiB"], "task-memory is '16 GiB'"),
    "a container that the file has not": (["--task-definition", "td.json", "--container", "nope"], "'nope'"),
    "log options without a log driver": (
        ["--task-definition", "td.json", "--log-options", "foo=bar"],
        "logConfiguration",
    ),
    "a health check without a command": (
        ["--task-definition", "td.json", "--health-check", "interval: 3"],
        "no health check to change",
    ),
    "a secret file that is a pipe": (
        ["--repository", "rag", "--dockerfile", "td.json", "--build-secret-files", "T=/dev/stdin"],
        "'/dev/stdin' is no regular file",
    ),
    "a Dockerfile that is a pipe": (
        ["--repository", "rag", "--dockerfile", "/dev/stdin"],
        "'/dev/stdin' is no regular file",
    ),
}


@pytest.mark.parametrize("case", BEFORE_AWS)
def test_what_needs_no_answer_of_aws_is_refused_before_it_is_asked(sandbox, tmp_path, case):
    flags, sentence = BEFORE_AWS[case]
    _file(tmp_path, "td.json", GOOD_FILE)
    run = deploy(sandbox, tmp_path, *flags)
    assert run.exit_code == 2, run.shown
    assert sentence in run.shown
    assert run.operations == ()


FILES = {
    "text that is neither JSON nor YAML": ("td.json", "{family: [", "td.json"),
    "YAML with a list on top": ("td.yml", "- a\n- b\n", "a list"),
    "no containerDefinitions": ("td.json", '{"family": "f"}', "no containerDefinitions"),
    "a misspelt containerDefinitions": (
        "td.json",
        '{"family": "f", "container_definitions": []}',
        "containerDefinitions",
    ),
    "no family": ("td.json", '{"containerDefinitions": [{"name": "a", "image": "x"}]}', "no family"),
    "an empty file": ("td.yml", "", "td.yml"),
    "a program": ("td.js", "module.exports = {}", "program"),
    "two containers and an image for neither": ("td.json", TWO, "rag"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_wrong_file_is_refused_with_one_sentence(sandbox, tmp_path, case):
    name, text, sentence = FILES[case]
    run = deploy(
        sandbox, tmp_path, "--task-definition", _file(tmp_path, name, text), "--image", image("good")
    )
    assert run.exit_code == 2, run.shown
    assert sentence in run.shown
    assert run.changes == []


def test_a_missing_region_is_named(sandbox, tmp_path):
    run = deploy(sandbox, tmp_path, "--image", image("good"), without=["AWS_REGION", "AWS_DEFAULT_REGION"])
    assert run.exit_code == 2
    assert "The region is missing" in run.shown
    assert "--region" in run.shown


@pytest.mark.parametrize("other", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_either_variable_gives_the_region(sandbox, tmp_path, other):
    run = deploy(sandbox, tmp_path, "--image", image("nope"), without=[other])
    assert "is not in ECR" in run.shown


def test_missing_credentials_are_aws_s_refusal_and_name_the_way_out(sandbox, tmp_path):
    run = deploy(
        sandbox,
        tmp_path,
        "--image",
        image("good"),
        without=["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
        AWS_EC2_METADATA_DISABLED="true",
    )
    assert run.exit_code == 3
    assert run.result["outcome"] == "refused"
    assert "role-to-assume" in run.shown


def test_a_role_without_an_id_token_names_the_lines_to_add(sandbox, tmp_path):
    run = deploy(sandbox, tmp_path, "--role-to-assume", "arn:aws:iam::123456789012:role/deploy")
    assert run.exit_code == 3
    assert "id-token: write" in run.shown


def test_the_action_s_inputs_are_checked_alike(sandbox, tmp_path):
    inputs = {"command": "deploy", "Cluster": "ki-cluster", "servce": "ki-rag-api", "image": ""}
    run = act(sandbox, tmp_path, inputs)
    assert run.exit_code == 2
    assert "Did you mean service?" in run.shown


def test_a_command_of_the_command_line_is_told_from_an_unknown_one(sandbox, tmp_path):
    run = act(sandbox, tmp_path, {"command": "explain"})
    assert run.exit_code == 2
    assert "explain is a command of the command line, and none of the action" in run.shown


def test_an_unknown_command_of_the_action_sets_its_outputs_all_the_same(sandbox, tmp_path):
    (tmp_path / "outputs").touch()
    run = act(sandbox, tmp_path, {"command": "deplyo"}, GITHUB_OUTPUT=str(tmp_path / "outputs"))
    assert run.exit_code == 2
    assert "Did you mean deploy?" in run.shown
    assert "invalid" in (tmp_path / "outputs").read_text(encoding="utf-8")
