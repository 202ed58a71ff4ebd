"""Overrides, rendered: what changes is what was asked for, and nothing else."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ecs_gpu_deploy.core.capacity.gpus import GpuRequest
from ecs_gpu_deploy.core.definition.overrides import Overrides, rendered
from ecs_gpu_deploy.core.definition.paths import path_from_text, path_text
from ecs_gpu_deploy.errors import InvalidInput

DIGEST = "sha256:" + "c" * 64
SIDECAR = f"registry.example/otel@{DIGEST}"


def task_definition() -> dict[str, Any]:
    return {
        "family": "rag",
        "networkMode": "bridge",
        "cpu": "2048",
        "aMemberOfTomorrow": {"keep": [None, 0, ""]},
        "containerDefinitions": [
            {
                "name": "rag",
                "image": "registry.example/rag:1",
                "cpu": 0,
                "memory": 8192,
                "command": ["--suffix", ""],
                "environment": [
                    {"name": "A", "value": ""},
                    {"name": "B", "value": "x=y=z"},
                    {"name": "OPENAI_API_KEY", "value": "plain", "note": 1},
                ],
                "secrets": [{"name": "S", "valueFrom": "arn:aws:ssm:::parameter/s"}],
                "dockerLabels": {"^a": "b=c"},
                "resourceRequirements": [
                    {"type": "GPU", "value": "1", "tomorrow": True},
                    {"type": "InferenceAccelerator", "value": "device"},
                ],
                "healthCheck": {"command": ["CMD", "true"], "interval": 15, "startPeriod": 0},
                "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/ecs/rag"}},
            },
            {"name": "otel", "image": SIDECAR, "essential": False},
        ],
        "volumes": [{"name": "models"}, {"name": "scratch", "host": {}}],
        "tags": [{"key": "team", "value": "ki"}],
    }


def expected(**rag: Any) -> dict[str, Any]:
    result = task_definition()
    result["containerDefinitions"][0].update(rag)
    for member, value in rag.items():
        if value is None:
            del result["containerDefinitions"][0][member]
    return result


def environment(**values: str | None) -> list[dict[str, Any]]:
    present = {item["name"]: item for item in task_definition()["containerDefinitions"][0]["environment"]}
    for name, value in values.items():
        present[name] = {**present.get(name, {"name": name}), "value": value}
    return [item for item in present.values() if item["value"] is not None]


CASES = [
    pytest.param(Overrides(), expected(), id="nothing asked, nothing changed"),
    pytest.param(
        Overrides(images={"rag": "registry.example/rag:2"}),
        expected(image="registry.example/rag:2"),
        # https://github.com/fabfuel/ecs-deploy (1.17: the sidecar's digest and the new tag were glued)
        id="an image replaces that container's and leaves a digest-pinned sidecar alone",
    ),
    pytest.param(
        Overrides(container="rag", images={"": "registry.example/rag:2"}),
        expected(image="registry.example/rag:2"),
        id="an image without a name goes to the container that is meant",
    ),
    pytest.param(
        Overrides(container="rag", environment={"A": "1=2", "N": "", "B": None}),
        expected(environment=environment(A="1=2", B=None, N="")),
        id="variables are replaced in place, added at the end and removed; = and empty values survive",
    ),
    pytest.param(
        Overrides(container="rag", secrets={"S": "arn:aws:ssm:::parameter/t", "T": "arn:t"}),
        expected(
            secrets=[
                {"name": "S", "valueFrom": "arn:aws:ssm:::parameter/t"},
                {"name": "T", "valueFrom": "arn:t"},
            ]
        ),
        id="secrets are replaced and added",
    ),
    pytest.param(
        Overrides(container="rag", secrets={"OPENAI_API_KEY": "arn:k", "S": None}),
        expected(
            environment=environment(OPENAI_API_KEY=None),
            secrets=[{"name": "OPENAI_API_KEY", "valueFrom": "arn:k"}],
        ),
        id="a variable that becomes a secret leaves the variables, as ECS allows a name once",
    ),
    pytest.param(
        Overrides(container="rag", secrets={"S": None}), expected(secrets=None), id="the last secret removed"
    ),
    pytest.param(
        Overrides(container="rag", command=("--suffix", "", "0")),
        expected(command=["--suffix", "", "0"]),
        # https://github.com/aws-actions/amazon-ecs-deploy-task-definition/issues/216
        id="an empty word of a command survives",
    ),
    pytest.param(
        Overrides(container="rag", command=(), entry_point=("python", "-m")),
        expected(command=None, entryPoint=["python", "-m"]),
        id="an empty command gives way to the image's own",
    ),
    pytest.param(
        Overrides(container="rag", container_cpu=0, container_memory=1024, container_memory_reservation=512),
        expected(cpu=0, memory=1024, memoryReservation=512),
        id="zero CPU units is a value",
    ),
    pytest.param(
        Overrides(container="rag", health_check={"interval": 30, "startPeriod": 300, "retries": 0}),
        expected(healthCheck={"command": ["CMD", "true"], "interval": 30, "startPeriod": 300, "retries": 0}),
        id="a health check is merged",
    ),
    pytest.param(
        Overrides(container="rag", health_check={"startPeriod": None}),
        expected(healthCheck={"command": ["CMD", "true"], "interval": 15}),
        id="a member of a health check is removed",
    ),
    pytest.param(
        Overrides(container="rag", log_options={"awslogs-stream-prefix": "ecs", "mode": ""}),
        expected(
            logConfiguration={
                "logDriver": "awslogs",
                "options": {"awslogs-group": "/ecs/rag", "awslogs-stream-prefix": "ecs", "mode": ""},
            }
        ),
        id="log options are merged",
    ),
    pytest.param(
        Overrides(container="rag", docker_labels={"^a": "b=c=d", "n": ""}),
        expected(dockerLabels={"^a": "b=c=d", "n": ""}),
        id="labels keep every = sign",
    ),
    pytest.param(
        Overrides(cpu="4096", memory="16384", task_role_arn="arn:t", execution_role_arn="arn:e"),
        {
            **task_definition(),
            "cpu": "4096",
            "memory": "16384",
            "taskRoleArn": "arn:t",
            "executionRoleArn": "arn:e",
        },
        id="the task's own members need no container",
    ),
    pytest.param(
        Overrides(tags={"team": None, "commit": "abc"}),
        {**task_definition(), "tags": [{"key": "commit", "value": "abc"}]},
        id="tags are merged",
    ),
]


@pytest.mark.parametrize(("overrides", "wanted"), CASES)
def test_rendered(overrides: Overrides, wanted: dict[str, Any]) -> None:
    before = task_definition()
    result = rendered(before, overrides)
    assert result == wanted
    assert before == task_definition()
    assert rendered(result, overrides) == result


def test_several_containers_get_their_images_in_one_go() -> None:
    # https://github.com/aws-actions/amazon-ecs-render-task-definition/issues/72
    result = rendered(task_definition(), Overrides(images={"rag": "r/rag:2", "otel": f"r/otel@{DIGEST}"}))
    assert [container["image"] for container in result["containerDefinitions"]] == [
        "r/rag:2",
        f"r/otel@{DIGEST}",
    ]


ACCELERATOR = {"type": "InferenceAccelerator", "value": "device"}


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        pytest.param("2", [{"type": "GPU", "value": "2", "tomorrow": True}, ACCELERATOR], id="a count"),
        pytest.param(4, [{"type": "GPU", "value": "4", "tomorrow": True}, ACCELERATOR], id="a number"),
        pytest.param(
            "0.25", [{"type": "GPU", "value": "0.25", "tomorrow": True}, ACCELERATOR], id="a fraction"
        ),
        pytest.param(
            0.5, [{"type": "GPU", "value": "0.5", "tomorrow": True}, ACCELERATOR], id="a YAML fraction"
        ),
        pytest.param(
            "all", [{"type": "GPU", "value": "ALL", "tomorrow": True}, ACCELERATOR], id="all of them"
        ),
        pytest.param("0", [ACCELERATOR], id="none"),
        pytest.param(0, [ACCELERATOR], id="none, as a number"),
        pytest.param(
            {"sharingStrategy": {"nvidiaMps": {"memory": 4096, "maxComputePercent": 50}}},
            [
                {
                    "type": "GPU",
                    "sharingStrategy": {"nvidiaMps": {"memory": 4096, "maxComputePercent": 50}},
                    "tomorrow": True,
                },
                ACCELERATOR,
            ],
            id="a shared one, spelt out",
        ),
        pytest.param(
            {"memory": 4096},
            [
                {"type": "GPU", "sharingStrategy": {"nvidiaMps": {"memory": 4096}}, "tomorrow": True},
                ACCELERATOR,
            ],
            id="a shared one, in short",
        ),
    ],
)
def test_gpu_requests(asked: object, wanted: list[dict[str, Any]]) -> None:
    # https://github.com/fabfuel/ecs-deploy/issues/141 and 232: lost, or not settable
    result = rendered(task_definition(), Overrides(container="rag", gpu=GpuRequest.from_value(asked)))
    assert result == expected(resourceRequirements=wanted)


def test_a_gpu_request_where_there_was_none_and_none_where_there_was_only_that() -> None:
    one = GpuRequest.from_value(1)
    with_gpu = rendered(task_definition(), Overrides(container="otel", gpu=one))
    assert with_gpu["containerDefinitions"][1]["resourceRequirements"] == [{"type": "GPU", "value": "1"}]
    assert rendered(with_gpu, Overrides(container="otel", gpu=GpuRequest())) == task_definition()


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param("", id="nothing"),
        pytest.param("-1", id="a negative count"),
        pytest.param("one", id="a word"),
        pytest.param(True, id="a boolean"),
        pytest.param("1e3", id="an exponent"),
        pytest.param({"memory": 0}, id="no memory"),
        pytest.param({"maxComputePercent": 10}, id="a share without memory"),
        pytest.param({"memory": 1, "maxComputePercent": 101}, id="more than everything"),
        pytest.param({"memory": 1, "percent": 10}, id="an unknown setting"),
        pytest.param(["1"], id="a list"),
    ],
)
def test_gpu_requests_that_make_no_sense(asked: object) -> None:
    with pytest.raises(ValueError, match="GPU"):
        GpuRequest.from_value(asked)


def path_case(text: str, value: Any) -> dict[str, Any]:
    return rendered(task_definition(), Overrides(assignments={text: value}))


def test_paths_set_values_in_their_json_type() -> None:
    for value in ("x", "", 0, 1.5, False, [], {}, [{"a": None}]):
        result = path_case("containerDefinitions[?name=='rag'].tomorrow", value)
        assert result == expected(tomorrow=value)


@pytest.mark.parametrize(
    ("path", "value", "wanted"),
    [
        pytest.param(
            "containerDefinitions[0].environment[?name=='A'].value",
            "z",
            expected(environment=environment(A="z")),
            id="inside two lists",
        ),
        pytest.param(
            "runtimePlatform.cpuArchitecture",
            "ARM64",
            {**task_definition(), "runtimePlatform": {"cpuArchitecture": "ARM64"}},
            id="an object that was missing",
        ),
        pytest.param(
            "volumes[-1].name",
            "tmp",
            {**task_definition(), "volumes": [{"name": "models"}, {"name": "tmp", "host": {}}]},
            id="the last element",
        ),
        pytest.param("cpu", 4096, {**task_definition(), "cpu": "4096"}, id="the task's CPU is text to ECS"),
        pytest.param(
            "containerDefinitions[-2].logConfiguration.options.awslogs-group",
            "/g",
            expected(logConfiguration={"logDriver": "awslogs", "options": {"awslogs-group": "/g"}}),
            id="a member with a hyphen",
        ),
        pytest.param(
            'containerDefinitions[0].dockerLabels."com.example.team"',
            "ki",
            expected(dockerLabels={"^a": "b=c", "com.example.team": "ki"}),
            id="a member with dots, in quotes",
        ),
        pytest.param("containerDefinitions[0].command", None, expected(command=None), id="null removes"),
        pytest.param("proxyConfiguration.type", None, task_definition(), id="null where nothing is"),
        pytest.param("ephemeralStorage", None, task_definition(), id="null for a missing member"),
        pytest.param(
            "containerDefinitions[?name=='otel']",
            None,
            {**task_definition(), "containerDefinitions": task_definition()["containerDefinitions"][:1]},
            id="null removes an element",
        ),
        pytest.param(
            "containerDefinitions[?name=='gone']",
            None,
            task_definition(),
            id="null for an element that is gone",
        ),
    ],
)
def test_paths(path: str, value: Any, wanted: dict[str, Any]) -> None:
    result = path_case(path, value)
    assert result == wanted
    assert rendered(result, Overrides(assignments={path: value})) == wanted


def test_a_path_may_select_several_elements() -> None:
    result = path_case("containerDefinitions[*].versionConsistency", "enabled")
    assert [item["versionConsistency"] for item in result["containerDefinitions"]] == ["enabled"] * 2
    result = path_case("containerDefinitions[?essential==`false`].stopTimeout", 5)
    assert [item.get("stopTimeout") for item in result["containerDefinitions"]] == [None, 5]
    result = path_case("volumes[0]", None)
    assert [item["name"] for item in result["volumes"]] == ["scratch"]
    result = path_case("volumes[*]", {"name": "x"})
    assert result["volumes"] == [{"name": "x"}, {"name": "x"}]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        pytest.param(
            "containerDefinitions[?name=='x'].image", "i", ["'rag', 'otel'"], id="no such container"
        ),
        pytest.param(
            "containerDefinitions[?name=='x'].image", None, ["'rag', 'otel'"], id="nor to remove from"
        ),
        pytest.param("containerDefinitions[2].image", "i", ["2 elements", "[2]"], id="an index outside"),
        pytest.param(
            "containerDefinitions[-3].image", "i", ["2 elements"], id="an index outside, from the end"
        ),
        pytest.param(
            "containerDefinitions[1].environment[?name=='A'].value",
            "i",
            ["does not exist"],
            id="no such list",
        ),
        pytest.param(
            "containerDefinitions.image", "i", ["a list", "[?name=="], id="a list taken for an object"
        ),
        pytest.param("family[0]", "i", ["text, not a list"], id="text taken for a list"),
        pytest.param("family.x", "i", ["family is text"], id="text taken for an object"),
        pytest.param(
            "containerdefinitions", [], ["'containerDefinitions'", "case matters"], id="the wrong case"
        ),
        pytest.param("containerDefinitions[0].Image", "i", ["'image'", "case matters"], id="a member's case"),
        pytest.param("revision", 3, ["only AWS sets"], id="a read-only member"),
        pytest.param("", 3, ["does not begin"], id="no path"),
        pytest.param("[0]", 3, ["does not begin"], id="a path without a member"),
        pytest.param("a..b", 3, ["cannot be read"], id="two dots"),
        pytest.param(".a", 3, ["cannot be read"], id="a dot first"),
        pytest.param('volumes[?name=="a"].name', 3, ["cannot be read"], id="double quotes in a filter"),
        pytest.param("volumes[?name=='a'", 3, ["cannot be read"], id="an open bracket"),
        pytest.param("volumes[?name==`a`]", 3, ["not JSON"], id="a broken literal"),
        pytest.param("volumes[99999999999]", 3, ["cannot be read"], id="a huge index"),
        pytest.param("length(volumes)", 3, ["cannot be read"], id="a function"),
    ],
)
def test_paths_that_lead_nowhere(path: str, value: Any, words: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        path_case(path, value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "containerDefinitions[?name=='rag'].image",
        "a[0].b[-1].c[*]",
        'a."b.c"',
        "a[?b==`false`]",
        "a[?b=='it\\'s']",
    ],
)
def test_paths_are_printed_as_they_are_read(text: str) -> None:
    assert path_from_text(path_text(path_from_text(text))) == path_from_text(text)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        pytest.param(
            Overrides(images={"": "a:1"}), ["'rag', 'otel'"], id="an image for nobody in particular"
        ),
        pytest.param(
            Overrides(images={"rga": "a:1"}), ["Is 'rag' meant?"], id="an image for a misspelt container"
        ),
        pytest.param(Overrides(images={"rag": ""}), ["empty"], id="an empty image"),
        pytest.param(Overrides(images={"rag": f"a@{DIGEST}:2"}), ["digest"], id="a glued image"),
        pytest.param(
            Overrides(container="rag", images={"": "a:1", "rag": "a:2"}),
            ["two images"],
            id="two images for one",
        ),
        pytest.param(
            Overrides(environment={"A": "1"}), ["several"], id="a variable for nobody in particular"
        ),
        pytest.param(
            Overrides(container="nope"), ["no container 'nope'"], id="a container that is not there"
        ),
        pytest.param(
            Overrides(container="rag", environment={"X": ""}, secrets={"X": "arn"}),
            ["'X'"],
            id="both at once",
        ),
        pytest.param(Overrides(container="rag", environment={"": "1"}), ["empty"], id="a nameless variable"),
        pytest.param(Overrides(tags={"aws:x": "1"}), ["aws:"], id="a tag of AWS's own"),
        pytest.param(
            Overrides(container="otel", health_check={"interval": 5}), ["command"], id="no check to change"
        ),
        pytest.param(
            Overrides(container="otel", log_options={"splunk-url": "x"}),
            ["logConfiguration"],
            id="no log driver",
        ),
    ],
)
def test_overrides_that_cannot_be_applied(overrides: Overrides, words: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        rendered(task_definition(), overrides)
    for word in words:
        assert word in str(caught.value)


def test_awslogs_options_alone_are_enough_for_a_log_configuration() -> None:
    result = rendered(task_definition(), Overrides(container="otel", log_options={"awslogs-group": "g"}))
    assert result["containerDefinitions"][1]["logConfiguration"] == {
        "logDriver": "awslogs",
        "options": {"awslogs-group": "g"},
    }


def test_the_values_given_are_copied() -> None:
    value = [{"name": "x"}]
    result = path_case("volumes", value)
    result["volumes"][0]["name"] = "y"
    assert value == [{"name": "x"}]
    assert copy.deepcopy(result) == result


DEEP = {"a": {"list": [{"x": 1}], "empty": [], "text": "t", "yes": True, "number": 1, "nothing": None}}


@pytest.mark.parametrize(
    ("path", "value", "message", "hint"),
    [
        pytest.param(
            "a[0]", 1, "a is an object, not a list: [0] selects nothing.", "", id="an object taken for a list"
        ),
        pytest.param(
            "a.text[*]", 1, "a.text is text, not a list: [*] selects nothing.", "", id="text taken for a list"
        ),
        pytest.param(
            "a.yes[?x=='1']",
            1,
            "a.yes is true or false, not a list: [?x=='1'] selects nothing.",
            "",
            id="true taken for a list",
        ),
        pytest.param(
            "a.number.x",
            1,
            "a.number is a number, not an object: it has no x.",
            "",
            id="a number taken for an object",
        ),
        pytest.param(
            "a.list[0].x.y.z",
            1,
            "a.list[0].x is a number, not an object: it has no y.",
            "",
            id="and on the way",
        ),
        pytest.param(
            "a.list.x",
            1,
            "a.list is a list, not an object: it has no x. Select an element: [0], [*] or [?name=='…'].",
            "",
            id="a list taken for an object",
        ),
        pytest.param("a.list[1].x", 1, "a.list has 1 elements; [1] is outside.", "", id="one too far"),
        pytest.param("a.list[-2].x", 1, "a.list has 1 elements; [-2] is outside.", "", id="from the end"),
        pytest.param("a.empty[*].x", 1, "a.empty is empty; [*] selects nothing.", "", id="all of nothing"),
        pytest.param(
            "a.empty[?x=='1'].y",
            1,
            "a.empty has no element [?x=='1']; its x values are nothing.",
            "",
            id="one of nothing",
        ),
        pytest.param(
            "a.list[?x==`2`].y",
            1,
            "a.list has no element [?x==`2`]; its x values are 1.",
            "",
            id="another value",
        ),
        pytest.param(
            "a.list[?x==`true`].y",
            1,
            "a.list has no element [?x==`true`]; its x values are 1.",
            "",
            id="true is not 1",
        ),
        pytest.param(
            "a.none[0]",
            1,
            "a.none does not exist, so there is no list to select from.",
            "Set the whole list.",
            id="no list",
        ),
        pytest.param(
            "a.nothing[*].x",
            1,
            "a.nothing does not exist, so there is no list to select from.",
            "Set the whole list.",
            id="null for a list",
        ),
        pytest.param(
            "A.x",
            1,
            "A does not exist: 'a' does, and case matters.",
            "",
            id="the case of an object on the way",
        ),
        pytest.param(
            "a.Text", 1, "a.Text does not exist: 'text' does, and case matters.", "", id="of the last"
        ),
        pytest.param(
            "a[?x==`oops`].y",
            1,
            "The path 'a[?x==`oops`].y' holds '[?x==`oops`]', which is not JSON.",
            "Paths",
            id="JSON",
        ),
        pytest.param("a b", 1, "The path 'a b' cannot be read from ' b' on.", "Paths", id="a blank"),
        pytest.param("a.", 1, "The path 'a.' cannot be read from '.' on.", "Paths", id="a dot at the end"),
        pytest.param(
            "[*].a", 1, "The path '[*].a' does not begin with the name of a member.", "Paths", id="a list"
        ),
        pytest.param(
            "status", 1, "The path 'status' leads to status, which only AWS sets.", "", id="read-only"
        ),
    ],
)
def test_what_is_said_of_a_path_that_leads_nowhere(path: str, value: Any, message: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        rendered(copy.deepcopy(DEEP), Overrides(assignments={path: value}))
    assert caught.value.message == message
    if hint == "Paths":
        hint = "Paths look like containerDefinitions[?name=='rag'].image or runtimePlatform.cpuArchitecture."
    assert caught.value.hint == hint


def test_twenty_names_are_enough_to_see_which_one_was_meant() -> None:
    many = {"volumes": [{"name": f"v{number}"} for number in range(21)] + ["odd", {"other": 1}]}
    with pytest.raises(InvalidInput) as caught:
        rendered(many, Overrides(assignments={"volumes[?name=='x'].host": {}}))
    known = ", ".join(f"'v{number}'" for number in range(20))
    assert str(caught.value) == f"volumes has no element [?name=='x']; its name values are {known}."


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("a[?b=='it\\'s'].c", "a[?b=='it\\'s'].c"),
        ("a[?b=='\\\\']", "a[?b=='\\\\']"),
        ('a."b c"."d"', 'a."b c".d'),
        ("a[ ?b=='c']", None),
        ("a[?b=='c' ][-3][*]", "a[?b=='c'][-3][*]"),
        ("A_b-c9.x", "A_b-c9.x"),
        ('"9a"', '"9a"'),
        ('a[?b==`{"x": 1}`]', 'a[?b==`{"x": 1}`]'),
    ],
)
def test_how_a_path_is_printed(text: str, printed: str | None) -> None:
    if printed is None:
        with pytest.raises(InvalidInput):
            path_from_text(text)
    else:
        assert path_text(path_from_text(text)) == printed


@pytest.mark.parametrize(
    ("overrides", "message", "hint"),
    [
        pytest.param(
            Overrides(container="otel", health_check={"interval": 5}),
            "The container 'otel' has no health check to change.",
            'Give its command too, like ["CMD", "python", "-c", "…"].',
            id="no health check",
        ),
        pytest.param(
            Overrides(container="otel", log_options={"splunk-url": "x", "awslogs-group": "g"}),
            "The container 'otel' has no logConfiguration for the log options.",
            "Set log-driver too.",
            id="no log driver",
        ),
        pytest.param(
            Overrides(container="rag", environment={"X": ""}, secrets={"X": "arn"}),
            "'X' is given as an environment variable and as a secret; ECS allows one.",
            "",
            id="both at once",
        ),
        pytest.param(
            Overrides(images={"": "a:1"}, container="rag", tags={"": "x"}),
            "A name in tags is empty.",
            "",
            id="no name",
        ),
        pytest.param(
            Overrides(tags={"AWS:x": "1"}),
            "The tag 'AWS:x' cannot be set: aws: is AWS's own name space.",
            "",
            id="a tag of AWS",
        ),
        pytest.param(
            Overrides(container="rag", images={"": "a:1", "rag": "a:2"}),
            "The container 'rag' is given two images: 'a:1', 'a:2'.",
            "",
            id="two images",
        ),
    ],
)
def test_what_is_said_of_an_override_that_cannot_be_applied(
    overrides: Overrides, message: str, hint: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        rendered(task_definition(), overrides)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize(
    "overrides",
    [
        Overrides(environment={"A": "1"}),
        Overrides(secrets={"A": "arn"}),
        Overrides(health_check={"retries": 1}),
        Overrides(log_options={"awslogs-group": "g"}),
        Overrides(docker_labels={"a": "1"}),
        Overrides(command=()),
        Overrides(entry_point=()),
        Overrides(container_cpu=0),
        Overrides(container_memory=1),
        Overrides(container_memory_reservation=1),
        Overrides(gpu=GpuRequest()),
    ],
    ids=lambda overrides: next(
        name for name in overrides.__slots__ if getattr(overrides, name) not in (None, "", {})
    ),
)
def test_whatever_changes_a_container_asks_which_one(overrides: Overrides) -> None:
    with pytest.raises(InvalidInput, match="several containers, and none is named"):
        rendered(task_definition(), overrides)


def test_a_secret_that_becomes_a_variable_leaves_the_secrets_and_what_is_removed_stays_removed() -> None:
    became = rendered(task_definition(), Overrides(container="rag", environment={"S": "plain"}))
    assert became == expected(environment=environment(S="plain"), secrets=None)
    removed = rendered(task_definition(), Overrides(container="rag", environment={"S": None}))
    assert removed == task_definition(), "a variable was removed, not the secret of its name"
    removed = rendered(task_definition(), Overrides(container="rag", secrets={"A": None}))
    assert removed == task_definition()


def test_a_shared_gpu_gives_way_to_a_whole_one() -> None:
    shared = rendered(
        task_definition(), Overrides(container="rag", gpu=GpuRequest.from_value({"memory": 4096}))
    )
    whole = rendered(shared, Overrides(container="rag", gpu=GpuRequest.from_value("1")))
    assert whole == task_definition()


@pytest.mark.parametrize("option", ["awslogs-group", "mode", "max-buffer-size"])
def test_options_that_awslogs_knows_begin_a_log_configuration(option: str) -> None:
    result = rendered(task_definition(), Overrides(container="otel", log_options={option: "x"}))
    assert result["containerDefinitions"][1]["logConfiguration"] == {
        "logDriver": "awslogs",
        "options": {option: "x"},
    }


def test_removing_log_options_where_there_are_none_changes_nothing() -> None:
    overrides = Overrides(container="otel", log_options={"splunk-url": None, "mode": None})
    assert rendered(task_definition(), overrides) == task_definition()


def test_both_sizes_of_the_task_are_text_and_nothing_else_is() -> None:
    assert path_case("memory", 4096)["memory"] == "4096"
    assert path_case("memory", True)["memory"] is True
    assert path_case("memory", "4 GB")["memory"] == "4 GB"
    assert path_case("containerDefinitions[0].memory", 4096)["containerDefinitions"][0]["memory"] == 4096


def test_odd_entries_of_a_list_stay() -> None:
    odd = {"family": "f", "tags": ["odd", {"key": 1, "value": "x"}, {"key": "a", "value": "1"}]}
    result = rendered(odd, Overrides(tags={"a": "2"}))
    assert result["tags"] == ["odd", {"key": 1, "value": "x"}, {"key": "a", "value": "2"}]


def test_a_name_that_stands_twice_is_set_once() -> None:
    twice = {"family": "f", "tags": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}
    assert rendered(twice, Overrides(tags={"a": "3"}))["tags"] == [{"key": "a", "value": "3"}]


def test_values_deep_in_a_mapping_are_copied() -> None:
    command = ["CMD", "true"]
    health_check = {"command": command}
    result = rendered(task_definition(), Overrides(container="rag", health_check=health_check))
    result["containerDefinitions"][0]["healthCheck"]["command"].append("x")
    assert command == ["CMD", "true"]
    value = {"deep": ["x"]}
    for path in ("volumes[0].host", "volumes[0]"):
        found = path_case(path, value)["volumes"][0]
        found.get("host", found)["deep"].append("y")
    assert value == {"deep": ["x"]}


def test_another_log_driver_drops_the_options_of_the_old_one() -> None:
    before = task_definition()
    before["containerDefinitions"][0]["logConfiguration"] = {
        "logDriver": "awslogs",
        "options": {"awslogs-group": "g"},
        "secretOptions": [{"name": "a", "valueFrom": "b"}],
    }
    name = before["containerDefinitions"][0]["name"]
    same = rendered(before, Overrides(container=name, log_driver="awslogs", log_options={"mode": "blocking"}))
    other = rendered(before, Overrides(container=name, log_driver="splunk", log_options={"splunk-url": "x"}))
    first = same["containerDefinitions"][0]["logConfiguration"]
    assert first["options"] == {"awslogs-group": "g", "mode": "blocking"}
    assert first["secretOptions"] == [{"name": "a", "valueFrom": "b"}]
    assert other["containerDefinitions"][0]["logConfiguration"] == {
        "logDriver": "splunk",
        "options": {"splunk-url": "x"},
    }


def test_environment_files_replace_those_that_are_there() -> None:
    before = task_definition()
    before["containerDefinitions"][0]["environmentFiles"] = [
        {"value": "arn:aws:s3:::b/old.env", "type": "s3"}
    ]
    name = before["containerDefinitions"][0]["name"]
    result = rendered(before, Overrides(container=name, env_files=("arn:aws:s3:::b/new.env",)))
    assert result["containerDefinitions"][0]["environmentFiles"] == [
        {"value": "arn:aws:s3:::b/new.env", "type": "s3"}
    ]
