"""Task definitions read from what AWS answers and from files."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from ecs_gpu_deploy.core.definition.task_definition import (
    READ_ONLY,
    container_definition,
    container_named,
    images,
    read_task_definition,
    registrable,
)
from ecs_gpu_deploy.core.document import document
from ecs_gpu_deploy.errors import InvalidInput

DESCRIBED: dict[str, Any] = {
    "taskDefinition": {
        "taskDefinitionArn": "arn:aws:ecs:eu-central-1:123456789012:task-definition/rag:42",
        "family": "rag",
        "revision": 42,
        "status": "ACTIVE",
        "registeredAt": 1795420800.5,
        "registeredBy": "arn:aws:iam::123456789012:role/deploy",
        "deregisteredAt": None,
        "deleteRequestedAt": None,
        "compatibilities": ["EXTERNAL", "EC2"],
        "requiresAttributes": [{"name": "com.amazonaws.ecs.capability.ecr-auth"}],
        "trustedExecutionConfiguration": {"mode": "NITRO"},
        "aMemberOfTomorrow": {"depth": [0, "", False, {"x": None}]},
        "containerDefinitions": [
            {
                "name": "rag",
                "image": "registry.example/rag:1",
                "cpu": 0,
                "command": ["--suffix", ""],
                "resourceRequirements": [
                    {"type": "GPU", "sharingStrategy": {"nvidiaMps": {"memory": 8192, "next": 1}}}
                ],
            },
            {"name": "otel", "image": "registry.example/otel@sha256:" + "a" * 64},
        ],
    },
    "tags": [{"key": "team", "value": "ki"}, {"key": "aws:cloudformation:stack-name", "value": "s"}],
}


def test_exactly_the_nine_read_only_members_go_and_all_others_stay() -> None:
    before = copy.deepcopy(DESCRIBED)
    result = registrable(DESCRIBED)
    assert before == DESCRIBED
    assert len(READ_ONLY) == 9
    assert set(result) == (set(DESCRIBED["taskDefinition"]) - READ_ONLY) | {"tags"}
    for member in set(result) - {"tags"}:
        assert result[member] == DESCRIBED["taskDefinition"][member]


def test_tags_come_along_except_those_that_only_aws_may_set() -> None:
    assert registrable(DESCRIBED)["tags"] == [{"key": "team", "value": "ki"}]
    assert "tags" not in registrable({**DESCRIBED, "tags": []})
    assert registrable(registrable(DESCRIBED)) == registrable(DESCRIBED)


def test_the_result_shares_nothing_with_the_argument() -> None:
    raw = copy.deepcopy(DESCRIBED)
    registrable(raw)["containerDefinitions"][0]["command"].append("x")
    assert raw == DESCRIBED


YAML_FILE = """
family: rag
cpu: 1024
memory: "8192"
containerDefinitions:
  - name: rag
    image: registry.example/rag:1e5
    command: ["--suffix", "", yes, 0755, 2026-11-23]
    environment: &shared
      - {name: LOG_LEVEL, value: ""}
  - name: otel
    image: registry.example/otel:2
    environment: *shared
"""


def test_a_yaml_file_is_read_without_guessing_at_its_scalars() -> None:
    result = read_task_definition(YAML_FILE, name="task-definition.yml")
    assert result["cpu"] == "1024"
    assert result["containerDefinitions"][0]["command"] == ["--suffix", "", "yes", "0755", "2026-11-23"]
    assert result["containerDefinitions"][1]["environment"] == [{"name": "LOG_LEVEL", "value": ""}]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param(json.dumps(DESCRIBED), "td.json", id="the answer of describe-task-definition, as JSON"),
        pytest.param(json.dumps(DESCRIBED["taskDefinition"]), "td.json", id="only its task definition"),
        pytest.param("\ufeff" + json.dumps(DESCRIBED), "td", id="with a byte-order mark and no ending"),
        pytest.param(json.dumps(DESCRIBED, indent=1), "td.yaml", id="JSON in a file that ends in .yaml"),
    ],
)
def test_files_that_are_accepted(text: str, name: str) -> None:
    assert read_task_definition(text, name=name)["family"] == "rag"


MINIMAL = '{"family": "f", "containerDefinitions": [{"name": "a", "image": "b"}]}'


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        pytest.param(
            "module.exports = {}", "td.js", ["td.js", "never executed"], id="a program (deploy action)"
        ),
        pytest.param('{"a": 1,}', "td.json", ["td.json", "line 1, column"], id="broken JSON"),
        pytest.param("a: [1", "td.yml", ["neither JSON nor YAML", "line 1"], id="broken YAML"),
        pytest.param("a:\n\t- b", "td.yml", ["line 2", "tabs"], id="a tab in YAML"),
        pytest.param("a: 1\na: 2", "td.yml", ["'a'", "twice"], id="a key twice in YAML"),
        pytest.param('{"a": 1, "a": 2}', "td.json", ["'a'", "twice"], id="a key twice in JSON"),
        pytest.param("- a", "td.yml", ["a list", "containerDefinitions"], id="a list"),
        pytest.param("hello", "td.yml", ["a single value"], id="a word"),
        pytest.param("", "td.yml", ["empty"], id="nothing"),
        pytest.param("# only a comment", "td.yml", ["empty"], id="a comment"),
        pytest.param("{}", "td.json", ["no containerDefinitions"], id="no containerDefinitions"),
        pytest.param(
            "ContainerDefinitions: []",
            "td.yml",
            ["ContainerDefinitions", "spells"],
            id="CloudFormation's spelling",
        ),
        pytest.param("containerDefinitions: []", "t", ["at least one"], id="no container"),
        pytest.param("containerDefinitions: [a]", "t", ["[0]", "mapping"], id="a container that is text"),
        pytest.param(
            "containerDefinitions: [{image: b}]", "t", ["[0]", "no name"], id="a nameless container"
        ),
        pytest.param(
            "family: f\ncontainerDefinitions: [{name: b}, {name: b}]",
            "t",
            ["two", "'b'"],
            id="one name twice",
        ),
        pytest.param("containerDefinitions: [{name: a}]", "t", ["no family"], id="no family"),
        pytest.param(
            "family: f\ncontainerDefinitions: [{name: a, environment: [{name: PORT, value: 1.10}]}]",
            "t",
            ["'PORT'", "quotes"],
            id="a variable that is a number with a point",
        ),
        pytest.param("taskDefinition: arn", "t", ["taskDefinition is not an object"], id="an odd wrapper"),
        pytest.param("a: &x [*x]", "t", ["contains itself"], id="an alias inside itself"),
        pytest.param("a: !!python/name:os.system x", "t", ["not supported"], id="a Python tag"),
        pytest.param("a: !Ref B", "t", ["!Ref", "not supported"], id="a CloudFormation tag"),
        pytest.param("1: a", "t", ["key 1"], id="a key that is a number"),
        pytest.param("? [a]\n: b", "t", ["key is not text"], id="a key that is a list"),
        pytest.param("a: 1\n---\nb: 2", "t", ["neither JSON nor YAML"], id="two YAML documents"),
        pytest.param("just words", "t.json", ["not JSON", "line 1, column 1"], id="words as JSON"),
        pytest.param("[" * 100_000, "t.json", ["levels deep"], id="JSON too deep"),
        pytest.param("[" * 62 + "]" * 62, "t.json", ["levels deep"], id="JSON one level too deep"),
        pytest.param('["' + '\\"' * 100_000, "t.json", ["not JSON"], id="JSON with a text that never ends"),
        pytest.param("{a: " * 3000 + "}" * 3000, "t.yml", ["levels deep"], id="YAML too deep"),
        pytest.param('{"a": NaN}', "t.json", ["NaN"], id="not a number"),
        pytest.param('{"a": 1e999}', "t.json", ["too large"], id="an infinite number"),
        pytest.param('{"a": ' + "9" * 5000 + "}", "t.json", ["not JSON"], id="an endless number"),
        pytest.param("a: \x00", "t.yml", ["neither JSON nor YAML"], id="a NUL"),
        pytest.param("x" * 3_000_000, "t", ["right file"], id="three megabytes"),
        pytest.param(
            "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)),
            "t.yml",
            ["aliases"],
            id="a billion laughs",
        ),
    ],
)
def test_files_that_are_refused_in_one_sentence(text: str, name: str, words: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_task_definition(text, name=name)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    for word in words:
        assert word in message


def test_the_minimal_file_is_accepted_as_json() -> None:
    assert read_task_definition(MINIMAL, name="t.json") == json.loads(MINIMAL)


def test_yaml_merge_keys_and_json_scalars() -> None:
    text = "a: &a {x: 1, y: -2.50}\nb: {<<: *a, x: null, z: true}"
    assert document(text, name="t") == {"a": {"x": 1, "y": -2.5}, "b": {"x": None, "y": -2.5, "z": True}}


def test_a_single_container_needs_no_name() -> None:
    assert container_named({"containerDefinitions": [{"name": "only"}]}) == "only"
    assert container_named(DESCRIBED["taskDefinition"], "otel") == "otel"
    assert images(DESCRIBED["taskDefinition"])["rag"] == "registry.example/rag:1"


@pytest.mark.parametrize(
    ("containers", "name", "words"),
    [
        pytest.param(["rag", "otel"], "", ["several", "'rag', 'otel'"], id="several and none named"),
        pytest.param(["rag", "otel"], "rga", ["'rga'", "'rag', 'otel'", "Is 'rag' meant?"], id="a near miss"),
        pytest.param(["rag"], "zzz", ["no container 'zzz'; it has 'rag'."], id="unknown"),
        pytest.param([], "", ["no containers"], id="none at all"),
    ],
)
def test_containers_that_cannot_be_resolved(containers: list[str], name: str, words: list[str]) -> None:
    task_definition = {"family": "f", "containerDefinitions": [{"name": own} for own in containers]}
    with pytest.raises(InvalidInput) as caught:
        container_definition(task_definition, name)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        pytest.param(
            "taskDefinition: arn",
            "The member taskDefinition is not an object.",
            "The answer of describe is meant.",
            id="an odd wrapper",
        ),
        pytest.param(
            "[a]",
            "'f.yml' holds a list; a task definition is a mapping with containerDefinitions.",
            "",
            id="a list",
        ),
        pytest.param(
            "a",
            "'f.yml' holds a single value; a task definition is a mapping with containerDefinitions.",
            "",
            id="a word",
        ),
        pytest.param(
            "family: f",
            "'f.yml' is no task definition: it has no containerDefinitions.",
            "",
            id="no containers, and nothing like it",
        ),
        pytest.param(
            "family: f\ncontainer_definitions: []",
            "'f.yml' is no task definition: it has no containerDefinitions; it has 'container_definitions', "
            "which ECS spells containerDefinitions.",
            "",
            id="Terraform's spelling",
        ),
        pytest.param(
            "containerDefinitions: []",
            "'f.yml': containerDefinitions is not a list of at least one container.",
            "",
            id="no container",
        ),
        pytest.param(
            "containerDefinitions: {name: a}",
            "'f.yml': containerDefinitions is not a list of at least one container.",
            "",
            id="a mapping for the list",
        ),
        pytest.param(
            "containerDefinitions: [{name: a}, {name: ''}]",
            "'f.yml': containerDefinitions[1] has no name.",
            "",
            id="an empty name",
        ),
        pytest.param(
            "containerDefinitions: [{name: 1}]",
            "'f.yml': containerDefinitions[0] has no name.",
            "",
            id="a name that is a number",
        ),
        pytest.param(
            "containerDefinitions: [{name: b}, {name: b}]",
            "'f.yml' has two containers named 'b'.",
            "Names are unique in ECS.",
            id="one name twice",
        ),
        pytest.param(
            "containerDefinitions: [{name: a}]",
            "'f.yml' has no family.",
            "Add family: the name that its revisions share.",
            id="no family",
        ),
        pytest.param(
            "family: ''\ncontainerDefinitions: [{name: a}]",
            "'f.yml' has no family.",
            "Add family: the name that its revisions share.",
            id="an empty family",
        ),
        pytest.param(
            "family: f\ncontainerDefinitions: [{name: a, environment: [{name: DEBUG, value: true}]}]",
            "'f.yml': the variable 'DEBUG' of container 'a' is not text.",
            "Put its value in quotes.",
            id="a variable that is true",
        ),
    ],
)
def test_what_is_said_of_a_file_that_is_refused(text: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_task_definition(text, name="f.yml")
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize(
    ("containers", "name", "message", "hint"),
    [
        pytest.param(
            ["rag", "otel"],
            "",
            "The task definition 'f' has several containers, and none is named: 'rag', 'otel'.",
            "Name one with container; an image alone can name its own: NAME=URI.",
            id="none is named",
        ),
        pytest.param(
            ["rag", "rags"],
            "rga",
            "The task definition 'f' has no container 'rga'; it has 'rag', 'rags'. Is 'rag' meant?",
            "",
            id="a near miss",
        ),
        pytest.param(
            ["rag"], "zzz", "The task definition 'f' has no container 'zzz'; it has 'rag'.", "", id="unknown"
        ),
        pytest.param([], "", "The task definition 'f' has no containers.", "", id="there is none"),
    ],
)
def test_what_is_said_of_a_container_that_cannot_be_resolved(
    containers: list[str], name: str, message: str, hint: str
) -> None:
    task_definition = {"family": "f", "containerDefinitions": [{"name": own} for own in containers]}
    with pytest.raises(InvalidInput) as caught:
        container_named(task_definition, name)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_odd_answers_are_read_as_far_as_they_go() -> None:
    odd = {"containerDefinitions": [{"image": "i"}, "text", {"name": "b"}]}
    assert images(odd) == {"": "i", "b": ""}
    assert container_named({"containerDefinitions": [{"name": "b"}, 1]}) == "b"
    assert registrable({"family": "f", "tags": ["odd", {"value": "v"}]})["tags"] == ["odd", {"value": "v"}]


def test_tags_of_the_inside_stay_where_none_stand_outside() -> None:
    inside = {"family": "f", "tags": [{"key": "a", "value": "1"}, {"key": "AWS:x", "value": "2"}]}
    assert registrable({"taskDefinition": inside})["tags"] == [{"key": "a", "value": "1"}]
    assert registrable(inside)["tags"] == [{"key": "a", "value": "1"}]
    assert registrable({"taskDefinition": {"family": "f"}, "tags": [{"key": "aws:x"}]}) == {"family": "f"}


def test_the_tags_are_copied_too() -> None:
    raw = {"taskDefinition": {"family": "f"}, "tags": [{"key": "a", "value": "1"}]}
    registrable(raw)["tags"][0]["value"] = "2"
    assert raw["tags"] == [{"key": "a", "value": "1"}]


def test_sizes_of_a_file_become_text() -> None:
    text = "family: f\ncpu: 1024\nmemory: 2048\ncontainerDefinitions: [{name: a, cpu: 1, memory: 2}]"
    read = read_task_definition(text, name="f.yml")
    assert (read["cpu"], read["memory"]) == ("1024", "2048")
    assert read["containerDefinitions"] == [{"name": "a", "cpu": 1, "memory": 2}]


def test_what_yaml_reads_as_another_type_is_turned_to_what_ecs_wants() -> None:
    text = """
    family: f
    cpu: 4096
    containerDefinitions:
      - name: a
        image: x:1
        memory: "512"
        environment: [{name: PORT, value: 80}]
        portMappings: [{containerPort: "8015"}]
        resourceRequirements: [{type: GPU, value: 1}]
    """
    assert read_task_definition(text, name="f.yml") == {
        "family": "f",
        "cpu": "4096",
        "containerDefinitions": [
            {
                "name": "a",
                "image": "x:1",
                "memory": 512,
                "environment": [{"name": "PORT", "value": "80"}],
                "portMappings": [{"containerPort": 8015}],
                "resourceRequirements": [{"type": "GPU", "value": "1"}],
            }
        ],
    }
