"""Laws that hold for every task definition: nothing is lost, and nothing changes twice."""

from __future__ import annotations

import copy
import json
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_gpu_deploy.core.capacity.gpus import GpuRequest
from ecs_gpu_deploy.core.definition.diff import diff_markdown, diff_text, difference, identical
from ecs_gpu_deploy.core.definition.overrides import Overrides, rendered
from ecs_gpu_deploy.core.definition.task_definition import READ_ONLY, read_task_definition, registrable

DETERMINISTIC = settings(derandomize=True, database=None, max_examples=100, deadline=None)

# Whatever a person can type; lone surrogates cannot be written to a file at all.
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = st.text("abcXYZ09_-", min_size=1, max_size=6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e6, 1e6) | anything,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=6,
)
unknown_members = st.dictionaries(names.map(lambda name: f"x{name}"), json_values, max_size=3)


def named(value_member: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(
        st.builds(
            lambda name, value, extra: {**extra, "name": name, value_member: value},
            names,
            anything,
            unknown_members,
        ),
        max_size=3,
        unique_by=lambda item: item["name"],
    )


containers = st.builds(
    lambda unknown, known: {**unknown, **known},
    unknown_members,
    st.fixed_dictionaries(
        {"name": names, "image": st.just("r/rag:1") | st.just("r/rag@sha256:" + "a" * 64)},
        optional={
            "command": st.lists(anything, max_size=3),
            "cpu": st.integers(0, 4096),
            "essential": st.booleans(),
            "environment": named("value"),
            "secrets": named("valueFrom"),
            "dockerLabels": st.dictionaries(anything, anything, max_size=2),
            "resourceRequirements": st.just([{"type": "GPU", "value": "1"}]) | st.just([]),
            "healthCheck": st.fixed_dictionaries({"command": st.just(["CMD", ""])}),
            "mountPoints": st.just([]),
        },
    ),
)
task_definitions = st.builds(
    lambda unknown, known: {**unknown, **known},
    unknown_members,
    st.fixed_dictionaries(
        {
            "family": names,
            "containerDefinitions": st.lists(
                containers, min_size=1, max_size=3, unique_by=lambda item: item["name"]
            ),
        },
        optional={
            "cpu": st.sampled_from(["256", "1 vCPU"]),
            "volumes": st.lists(st.builds(lambda name: {"name": name}, names), max_size=2),
            "tags": st.just([{"key": "a", "value": ""}]),
        },
    ),
)
overrides = st.builds(
    Overrides,
    images=st.just({}) | st.just({"": "r/new:2"}),
    environment=st.dictionaries(names, st.none() | anything, max_size=3),
    command=st.none() | st.lists(anything, max_size=3).map(tuple),
    container_cpu=st.none() | st.integers(0, 1024),
    gpu=st.none() | st.sampled_from(["0", "1", "0.25", "ALL", {"memory": 5}]).map(GpuRequest.from_value),
    docker_labels=st.dictionaries(anything, st.none() | anything, max_size=2),
    cpu=st.none() | st.just("512"),
    tags=st.dictionaries(names, st.none() | anything, max_size=2),
    assignments=st.dictionaries(
        st.sampled_from(["runtimePlatform.cpuArchitecture", "volumes", "containerDefinitions[-1].user"]),
        json_values,
        max_size=2,
    ),
)


def for_the_first(task_definition: dict[str, Any], change: Overrides) -> Overrides:
    members = {member: getattr(change, member) for member in Overrides.__dataclass_fields__}
    return Overrides(**{**members, "container": task_definition["containerDefinitions"][0]["name"]})


@DETERMINISTIC
@given(task_definition=task_definitions, change=overrides)
def test_rendering_twice_changes_nothing_more(task_definition: dict[str, Any], change: Overrides) -> None:
    change = for_the_first(task_definition, change)
    before = copy.deepcopy(task_definition)
    once = rendered(task_definition, change)
    assert task_definition == before
    assert rendered(once, change) == once


@DETERMINISTIC
@given(task_definition=task_definitions, change=overrides)
def test_nothing_outside_the_override_changes(task_definition: dict[str, Any], change: Overrides) -> None:
    change = for_the_first(task_definition, change)
    result = rendered(task_definition, change)
    for member in (task_definition.keys() | result.keys()) - {
        "containerDefinitions",
        "cpu",
        "tags",
        "runtimePlatform",
        "volumes",
    }:
        assert json.dumps(result[member]) == json.dumps(task_definition[member])
    first, changed = task_definition["containerDefinitions"][0], result["containerDefinitions"][0]
    for member in (first.keys() | changed.keys()) - {
        "image",
        "environment",
        "secrets",
        "command",
        "cpu",
        "resourceRequirements",
        "dockerLabels",
        "user",
    }:
        assert json.dumps(changed[member]) == json.dumps(first[member])
    for before, after in zip(
        task_definition["containerDefinitions"][1:], result["containerDefinitions"][1:], strict=True
    ):
        assert {k: v for k, v in after.items() if k != "user"} == {
            k: v for k, v in before.items() if k != "user"
        }
    for variable in first.get("environment", []):
        if variable["name"] not in change.environment:
            assert variable in changed["environment"]


@DETERMINISTIC
@given(task_definition=task_definitions)
def test_a_round_trip_through_aws_and_through_files_loses_nothing(task_definition: dict[str, Any]) -> None:
    answer = {
        "taskDefinition": {**task_definition, **dict.fromkeys(READ_ONLY, "set by AWS")},
        "tags": task_definition.get("tags", []),
        "ResponseMetadata": {},
    }
    assert json.dumps(registrable(answer), sort_keys=True) == json.dumps(task_definition, sort_keys=True)
    as_json = json.dumps(task_definition)
    as_ascii_free_json = json.dumps(task_definition, ensure_ascii=False)
    as_yaml = yaml.safe_dump(task_definition, allow_unicode=False)
    assert read_task_definition(as_json, name="t.json") == task_definition
    assert read_task_definition(as_ascii_free_json, name="t") == task_definition
    assert identical(read_task_definition(as_yaml, name="t.yml"), task_definition)


@DETERMINISTIC
@given(a=task_definitions, b=task_definitions)
def test_identical_means_no_difference_either_way(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert identical(a, copy.deepcopy(a))
    assert identical(a, b) == identical(b, a) == (difference(a, b) == ())
    swapped = [(change.path, change.new, change.old) for change in difference(b, a)]
    assert swapped == [(change.path, change.old, change.new) for change in difference(a, b)]


@DETERMINISTIC
@given(a=task_definitions, b=task_definitions)
def test_every_view_has_one_printable_line_for_a_value(a: dict[str, Any], b: dict[str, Any]) -> None:
    changes = difference(a, b)
    text = diff_text(changes)
    assert len(text.splitlines()) == len(changes)
    assert text.replace("\n", "").isprintable()
    assert diff_markdown(changes).replace("\n", "").isprintable()
    assert "\n\n" not in diff_markdown(changes)


@DETERMINISTIC
@given(task_definition=task_definitions, value=st.text("qwertz", min_size=12, max_size=16))
def test_the_value_of_a_variable_is_never_shown(task_definition: dict[str, Any], value: str) -> None:
    name = task_definition["containerDefinitions"][-1]["name"]
    changed = rendered(task_definition, Overrides(container=name, environment={"NEW": value}))
    again = rendered(changed, Overrides(container=name, environment={"NEW": value + "!"}))
    for old, new in ((task_definition, changed), (changed, again), (again, task_definition)):
        changes = difference(old, new)
        assert len(changes) == 1
        assert value not in repr(changes) + diff_text(changes) + diff_markdown(changes)
