"""Equality and difference of task definitions, as ECS understands them, with nothing secret shown."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_gpu_deploy.core.definition.diff import Change, diff_markdown, diff_text, difference, identical


def definition(*, top: dict[str, Any] | None = None, **container: Any) -> dict[str, Any]:
    return {
        "family": "rag",
        "containerDefinitions": [{"name": "rag", "image": "r/rag:1", **container}],
        **(top or {}),
    }


A, B = {"name": "A", "value": "1"}, {"name": "B", "value": ""}
WEB = {"containerPort": 8000}


@pytest.mark.parametrize(
    ("a", "b"),
    [
        pytest.param(
            definition(),
            {"taskDefinition": {**definition(), "revision": 7, "status": "ACTIVE"}, "tags": []},
            id="the read-only members",
        ),
        pytest.param(
            definition(environment=[A, B]), definition(environment=[B, A]), id="the order of variables"
        ),
        pytest.param(
            definition(top={"tags": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]}),
            definition(top={"tags": [{"key": "b", "value": "2"}, {"key": "a", "value": "1"}]}),
            id="the order of tags",
        ),
        pytest.param(
            definition(),
            definition(
                top={"volumes": [], "placementConstraints": [], "enableFaultInjection": False},
                cpu=0,
                essential=True,
                portMappings=[],
                environment=[],
                mountPoints=[],
                volumesFrom=[],
                systemControls=[],
            ),
            id="what ECS fills in",
        ),
        pytest.param(
            definition(portMappings=[WEB]),
            definition(portMappings=[{**WEB, "hostPort": 0, "protocol": "tcp"}]),
            id="port defaults in bridge mode",
        ),
        pytest.param(
            definition(portMappings=[WEB], top={"networkMode": "awsvpc"}),
            definition(portMappings=[{**WEB, "hostPort": 8000}], top={"networkMode": "awsvpc"}),
            id="port defaults in awsvpc mode",
        ),
        pytest.param(
            definition(healthCheck={"command": ["CMD", "x"]}),
            definition(healthCheck={"command": ["CMD", "x"], "interval": 30, "timeout": 5, "retries": 3}),
            id="health check defaults",
        ),
        pytest.param(
            definition(top={"cpu": "2 vCPU", "memory": "16GB"}),
            definition(top={"cpu": "2048", "memory": "16384"}),
            id="sizes in words",
        ),
        pytest.param(
            definition(top={"volumes": [{"name": "v"}]}),
            definition(top={"volumes": [{"name": "v", "host": {}}]}),
            id="a bind mount's empty host",
        ),
        pytest.param(
            definition(top={"requiresCompatibilities": ["EC2", "FARGATE"]}),
            definition(top={"requiresCompatibilities": ["FARGATE", "EC2"]}),
            id="the order of compatibilities",
        ),
    ],
)
def test_these_register_the_same(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert identical(a, b)
    assert identical(b, a)
    assert difference(a, b) == ()


@pytest.mark.parametrize(
    ("a", "b"),
    [
        pytest.param(definition(), definition(image="r/rag:2"), id="an image"),
        pytest.param(definition(command=["a", "b"]), definition(command=["b", "a"]), id="the order of words"),
        pytest.param(definition(command=["a"]), definition(command=["a", ""]), id="an empty word"),
        pytest.param(definition(environment=[A]), definition(environment=[A, B]), id="an empty variable"),
        pytest.param(definition(environment=[A, A]), definition(environment=[A]), id="a variable twice"),
        pytest.param(definition(essential=False), definition(), id="a container that may exit"),
        pytest.param(definition(stopTimeout=0), definition(), id="a zero that ECS does not fill in"),
        pytest.param(definition(stopTimeout=1), definition(stopTimeout=True), id="one and true"),
        pytest.param(definition(stopTimeout=1), definition(stopTimeout="1"), id="one and its text"),
        pytest.param(definition(hostname=""), definition(), id="an empty text"),
        pytest.param(definition(tomorrow={}), definition(), id="an empty object nobody knows yet"),
        pytest.param(
            definition(portMappings=[{**WEB, "hostPort": 8000}]),
            definition(portMappings=[WEB]),
            id="a fixed port",
        ),
        pytest.param(
            definition(portMappings=[{**WEB, "protocol": "udp"}]), definition(portMappings=[WEB]), id="udp"
        ),
        pytest.param(
            definition(environmentFiles=[{"value": "a"}, {"value": "b"}]),
            definition(environmentFiles=[{"value": "b"}, {"value": "a"}]),
            id="the order of environment files, where the later wins",
        ),
        pytest.param(
            definition(top={"tags": [{"key": "a", "value": "1"}]}),
            definition(top={"tags": [{"key": "a", "value": "2"}]}),
            id="a tag",
        ),
        pytest.param(
            definition(resourceRequirements=[{"type": "GPU", "value": "1"}]),
            definition(
                resourceRequirements=[{"type": "GPU", "sharingStrategy": {"nvidiaMps": {"memory": 1}}}]
            ),
            id="a whole GPU and a share",
        ),
    ],
)
def test_these_do_not(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert not identical(a, b)
    assert not identical(b, a)
    assert difference(a, b)


OLD = {
    "family": "rag",
    "containerDefinitions": [
        {
            "name": "otel",
            "image": "r/otel:1",
            "environment": [{"name": "GONE", "value": "hunter2"}],
        },
        {
            "name": "rag",
            "image": "r/rag:1",
            "environment": [{"name": "KEY", "value": "hunter2"}, {"name": "SAME", "value": "hunter2"}],
            "command": ["serve"],
            "logConfiguration": {"logDriver": "splunk", "options": {"splunk-token": "hunter2"}},
        },
    ],
    "volumes": [{"name": "v", "dockerVolumeConfiguration": {"driverOpts": {"o": "password=hunter2"}}}],
}
NEW = {
    "family": "rag",
    "containerDefinitions": [
        {
            "name": "rag",
            "image": "r/rag:2",
            "environment": [
                {"name": "SAME", "value": "hunter2"},
                {"name": "KEY", "value": "hunter3"},
                {"name": "NEW", "value": ""},
            ],
            "command": ["serve", ""],
            "secrets": [{"name": "S", "valueFrom": "arn:aws:ssm:::parameter/s"}],
            "logConfiguration": {"logDriver": "splunk", "options": {"splunk-token": "hunter3"}},
        },
        {"name": "otel", "image": "r/otel:1"},
    ],
    "volumes": [{"name": "v", "dockerVolumeConfiguration": {"driverOpts": {"o": "password=hunter3"}}}],
}

GOLDEN_TEXT = """\
- containerDefinitions[otel].environment[GONE]: ***
~ containerDefinitions[rag].command: ["serve"] → ["serve", ""]
~ containerDefinitions[rag].environment[KEY]: *** (changed)
+ containerDefinitions[rag].environment[NEW]: ***
~ containerDefinitions[rag].image: "r/rag:1" → "r/rag:2"
~ containerDefinitions[rag].logConfiguration.options.splunk-token: *** (changed)
+ containerDefinitions[rag].secrets[S]: "arn:aws:ssm:::parameter/s"
~ volumes[v].dockerVolumeConfiguration.driverOpts.o: *** (changed)"""

GOLDEN_MARKDOWN = """\
```diff
- containerDefinitions[otel].environment[GONE]: ***
- containerDefinitions[rag].command: ["serve"]
+ containerDefinitions[rag].command: ["serve", ""]
! containerDefinitions[rag].environment[KEY]: *** (changed)
+ containerDefinitions[rag].environment[NEW]: ***
- containerDefinitions[rag].image: "r/rag:1"
+ containerDefinitions[rag].image: "r/rag:2"
! containerDefinitions[rag].logConfiguration.options.splunk-token: *** (changed)
+ containerDefinitions[rag].secrets[S]: "arn:aws:ssm:::parameter/s"
! volumes[v].dockerVolumeConfiguration.driverOpts.o: *** (changed)
```"""


def test_the_difference_for_a_log() -> None:
    assert diff_text(difference(OLD, NEW)) == GOLDEN_TEXT


def test_the_difference_for_a_summary() -> None:
    assert diff_markdown(difference(OLD, NEW)) == GOLDEN_MARKDOWN


def test_values_that_must_not_be_seen_are_not_even_carried() -> None:
    assert "hunter" not in repr(difference(OLD, NEW))
    assert Change(
        path="containerDefinitions[rag].environment[KEY]", old="***", new="***", masked=True
    ) in difference(OLD, NEW)


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param(
            [{"name": "A", "value": "hunter2"}, {"name": "A", "value": "hunter2"}], id="a name twice"
        ),
        pytest.param([{"value": "hunter2"}], id="no name"),
        pytest.param([{"name": "A", "value": "hunter2", "more": "hunter2"}], id="members nobody knows"),
        pytest.param({"A": "hunter2"}, id="a mapping"),
        pytest.param(["hunter2"], id="a list of texts"),
        pytest.param("hunter2", id="text"),
        pytest.param([{"name": "A", "value": {"deep": ["hunter2"]}}], id="deeper"),
    ],
)
def test_odd_variables_are_masked_as_well(variables: Any) -> None:
    assert "hunter2" not in repr(difference(definition(), definition(environment=variables)))


def test_nothing_to_say_is_nothing() -> None:
    assert diff_text(()) == diff_markdown(()) == ""


def test_untrusted_text_stays_on_its_line_and_inside_its_fence() -> None:
    evil = "a\n```\n<img src=x>|`` ```` \u202e\x1b[31m\u2028::error::x\x00"
    changes = difference(definition(), definition(user=evil, dockerLabels={evil: evil}))
    for text in (diff_text(changes), diff_markdown(changes)):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\u2028" not in text
    lines = diff_markdown(changes).splitlines()
    assert len(lines) == len(changes) + 2
    fence = lines[0].removesuffix("diff")
    assert lines[-1] == fence
    assert not any(fence in line for line in lines[1:-1])
    assert all(line.startswith("+ ") for line in lines[1:-1])


def test_long_values_are_cut() -> None:
    text = diff_text(difference(definition(), definition(user="x" * 100_000)))
    assert len(text) < 500
    assert "(100002 characters)" in text


@pytest.mark.parametrize(
    ("a", "b", "lines"),
    [
        pytest.param(
            definition(
                portMappings=[{**WEB, "name": "web"}, {**WEB, "name": "quic", "protocol": "udp"}],
            ),
            definition(
                portMappings=[
                    {**WEB, "name": "QUIC", "protocol": "udp"},
                    {**WEB, "name": "web", "hostPort": 80},
                ],
            ),
            [
                "+ containerDefinitions[rag].portMappings[8000/tcp].hostPort: 80",
                '~ containerDefinitions[rag].portMappings[8000/udp].name: "quic" → "QUIC"',
            ],
            id="ports are told apart by number and protocol",
        ),
        pytest.param(
            definition(ulimits=["odd", {"name": "nofile", "softLimit": 1}]),
            definition(ulimits=["odd", {"name": "nofile", "softLimit": 2}]),
            ["~ containerDefinitions[rag].ulimits[1].softLimit: 1 → 2"],
            id="without a name of its own an element has its position",
        ),
        pytest.param(
            definition(environmentFiles=[{"value": "a", "type": "s3"}]),
            definition(environmentFiles=[{"value": "b", "type": "s3"}]),
            ['~ containerDefinitions[rag].environmentFiles[0].value: "a" → "b"'],
            id="files have a position, as their order counts",
        ),
        pytest.param(
            definition(tomorrow=[{"containerPort": 1, "x": 1}]),
            definition(tomorrow=[{"containerPort": 1, "x": 2}]),
            ["~ containerDefinitions[rag].tomorrow[0].x: 1 → 2"],
            id="a list that nobody knows yet has positions",
        ),
        pytest.param(
            definition(top={"ünï": 1}),
            definition(top={"ünï": 2, 'a "b"': "é"}),
            ['+ "a \\"b\\"": "é"', '~ "ünï": 1 → 2'],
            id="names that are no plain words are in quotes, letters stay letters",
        ),
        pytest.param(
            definition(
                linuxParameters={"devices": [], "initProcessEnabled": True, "tmpfs": [{"a": 1, "b": 2}]}
            ),
            definition(linuxParameters={"initProcessEnabled": True, "tmpfs": [{"b": 2, "a": 1}]}),
            [],
            id="the order of members",
        ),
    ],
)
def test_where_a_change_is_said_to_be(a: dict[str, Any], b: dict[str, Any], lines: list[str]) -> None:
    assert diff_text(difference(a, b)).splitlines() == lines


@pytest.mark.parametrize("mode", ["awsvpc", "host"])
def test_a_host_port_is_the_containers_own_where_they_share_the_network(mode: str) -> None:
    top = {"networkMode": mode}
    same = definition(top=top, portMappings=[{**WEB, "hostPort": 8000}])
    assert identical(definition(top=top, portMappings=[WEB]), same)
    other = definition(top=top, portMappings=[{**WEB, "hostPort": 8001}])
    assert not identical(definition(top=top, portMappings=[WEB]), other)


def test_an_odd_mapping_does_not_hide_the_defaults_of_the_next() -> None:
    odd = "8000:8000"
    assert identical(
        definition(portMappings=[odd, WEB]), definition(portMappings=[odd, {**WEB, "protocol": "tcp"}])
    )


@pytest.mark.parametrize(
    ("member", "value", "shown"),
    [
        pytest.param(
            "dockerLabels", {"com.example.api-key": "hunter2"}, False, id="a label that is named as a secret"
        ),
        pytest.param("dockerLabels", {"team": "hunter2"}, True, id="another label"),
        pytest.param(
            "logConfiguration",
            {"options": {"splunk-url": "hunter2"}, "logDriver": "splunk"},
            True,
            id="an option that is none",
        ),
        pytest.param("environment", [{"name": "A", "value": "hunter2"}], False, id="a variable"),
        pytest.param(
            "environment", [{"name": "hunter2", "value": "a", "more": 1}], True, id="the name of a variable"
        ),
        pytest.param(
            "secrets",
            [{"name": "API_TOKEN", "valueFrom": "arn:hunter2"}],
            True,
            id="where a secret comes from is none",
        ),
        pytest.param(
            "repositoryCredentials", {"credentialsParameter": "arn:hunter2"}, True, id="where a password is"
        ),
    ],
)
def test_what_is_shown_and_what_is_masked(member: str, value: Any, shown: bool) -> None:
    assert ("hunter2" in diff_text(difference(definition(), definition(**{member: value})))) is shown


def test_a_value_of_300_characters_is_whole_and_one_more_is_cut() -> None:
    def said(length: int) -> str:
        return diff_text(difference(definition(), definition(user="x" * (length - 2))))

    assert said(300) == '+ containerDefinitions[rag].user: "' + "x" * 298 + '"'
    assert said(301) == '+ containerDefinitions[rag].user: "' + "x" * 299 + "… (301 characters)"


@pytest.mark.parametrize(
    ("value", "fence"), [("plain", "```"), ("`", "```"), ("```", "````"), ("`" * 6, "`" * 7)]
)
def test_the_fence_is_one_longer_than_the_longest_run_inside(value: str, fence: str) -> None:
    lines = diff_markdown([Change(path="user", old=None, new=value)]).splitlines()
    assert (lines[0], lines[-1]) == (f"{fence}diff", fence)
