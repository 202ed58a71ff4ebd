"""The requests of the commands: typed, complete, and refused with the input's name before anything else."""

import json
import os
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass

import pytest
from command_checks import CHECKS, LEAST
from typed_snippet import type_errors

from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs import checks
from ecs_gpu_deploy.inputs.options import OPTIONS
from ecs_gpu_deploy.inputs.settings import settings_from

MOST = {
    "extra-tags": "a\nb",
    "build-args": "A=1",
    "build-secrets": "TOKEN=x",
    "image-tag": "v1",
    "environment": "A=1",
    "command-override": "serve --port 80",
    "cpu": "512",
    "task-cpu": "4 vCPU",
    "gpu": "1",
    "tags": "team=ki",
    "volume": "{name: scratch, roleArn: r, sizeInGiB: 9}",
    "capacity-providers": "gpu=2,1\nspot",
    "subnets": "a, b",
    "phase-deadlines": "pull=5m",
    "crash-loop-threshold": "3",
    "settle": "90s",
    "gpu-hourly-cost": "2.5",
    "role-chain": "arn:aws:iam::123456789012:role/deploy",
    "allowed-account-ids": "123456789012",
    "task": "1, 2",
    "secrets": "B=/rag/b",
    "set": "a.b: 1",
    "health-check": "retries: 3",
    "service-deployment": "arn:aws:ecs:eu-central-1:123456789012:service-deployment/c/s/d",
}


def _given(command):
    known = {option.name for option in OPTIONS if command in option.commands}
    return {**LEAST[command], **{name: text for name, text in MOST.items() if name in known}}


@pytest.fixture(autouse=True)
def _folder_with_a_dockerfile(tmp_path, monkeypatch):
    (tmp_path / "Dockerfile").touch()
    os.mkfifo(tmp_path / "pipe")
    container = {"name": "rag", "image": "x:1"}
    (tmp_path / "td.json").write_text(json.dumps({"family": "f", "containerDefinitions": [container]}))
    monkeypatch.chdir(tmp_path)


def wrong_types(value, wanted, where=""):
    """Return where *value* differs from the type *wanted* that is written for it."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is object:
        return []
    if origin in {typing.Union, types.UnionType}:
        tried = [wrong_types(value, kind, where) for kind in arguments]
        return [] if [] in tried else tried[0]
    if origin is typing.Literal:
        return [] if value in arguments else [where]
    if origin is tuple:
        if not isinstance(value, tuple):
            return [where]
        return [wrong for item in value for wrong in wrong_types(item, arguments[0], f"{where}[]")]
    if origin is Mapping:
        if not isinstance(value, Mapping):
            return [where]
        keys = [wrong for key in value for wrong in wrong_types(key, arguments[0], f"{where} key")]
        return keys + [w for item in value.values() for w in wrong_types(item, arguments[1], f"{where}[]")]
    if is_dataclass(wanted) and isinstance(value, wanted):
        hints = typing.get_type_hints(wanted, vars(sys.modules[wanted.__module__]))
        return [
            wrong
            for field in fields(wanted)
            for wrong in wrong_types(getattr(value, field.name), hints[field.name], f"{where}.{field.name}")
        ]
    if wanted is float and type(value) is int:
        return []
    return [] if type(value) is wanted or (wanted is str and isinstance(value, str)) else [where]


def dataclasses_in(wanted):
    """Give every dataclass that a type is made of, with the fields' types, down to the last."""
    for part in typing.get_args(wanted):
        yield from dataclasses_in(part)
    if is_dataclass(wanted):
        hints = typing.get_type_hints(wanted, vars(sys.modules[wanted.__module__]))
        yield wanted, hints
        for hint in hints.values():
            yield from dataclasses_in(hint)


def loose_parts(wanted):
    """Name the dataclasses that can change, and the fields that may be anything."""
    found = {kind.__name__ for kind, _ in dataclasses_in(wanted) if not kind.__dataclass_params__.frozen}
    for kind, hints in dataclasses_in(wanted):
        found |= {f"{kind.__name__}.{name}" for name, hint in hints.items() if "typing.Any" in repr(hint)}
    return found


@pytest.mark.parametrize("check", [*CHECKS.values(), checks.run_options, checks.check_role, settings_from])
def test_nothing_in_a_request_changes_or_is_of_any_type(check):
    wanted = typing.get_type_hints(check)["return"]
    assert len(list(dataclasses_in(wanted))) > 0
    assert loose_parts(wanted) == set()


@dataclass
class Loose:
    commit: typing.Any
    values: Mapping[str, list[typing.Any]]


@dataclass(frozen=True)
class Request:
    inner: tuple[Loose | None, ...]


def test_what_is_loose_is_found_however_deep():
    assert loose_parts(Request) == {"Loose", "Loose.commit", "Loose.values"}


@pytest.mark.parametrize("command", CHECKS)
@pytest.mark.parametrize("given", ["the least", "much"])
def test_every_field_has_the_type_that_is_written(command, given):
    inputs = LEAST[command] if given == "the least" else _given(command)
    settings = settings_from(command, inputs=inputs)
    for check in (CHECKS[command], checks.run_options, checks.check_role):
        wanted = typing.get_type_hints(check)["return"]
        assert wrong_types(check(settings), wanted, wanted.__name__) == []


@pytest.mark.parametrize(
    ("command", "inputs", "name"),
    [
        ("deploy", {"gpu": "1", "gpu-sharing": "memory: 1"}, "gpu-sharing"),
        ("deploy", {"context": "nowhere"}, "context"),
        ("deploy", {"image": "a:1", "repository": "rag"}, "image"),
        ("deploy", {"repository": "rag", "image-tag": "a b"}, "image-tag"),
        ("deploy", {"repository": "rag", "build-secrets": "NOBODY_SETS_THIS"}, "build-secrets"),
        ("deploy", {"repository": "rag", "build-secret-files": "A=none"}, "build-secret-files"),
        ("deploy", {"repository": "rag", "build-secret-files": "A=pipe"}, "'pipe' is no regular file"),
        ("deploy", {"repository": "rag", "dockerfile": "pipe"}, "'pipe' is no regular file"),
        ("deploy", {"repository": "rag", "dockerfile": "."}, "'.' is no regular file"),
        ("deploy", {"repository": "rag", "dockerfile": "none"}, "There is no Dockerfile 'none'"),
        ("deploy", {"task-definition": "none.json"}, "task definition"),
        ("deploy", {"task-definition": "td.ts"}, "task definition"),
        ("deploy", {"task-definition": "/dev/null"}, "The task definition '/dev/null' is empty"),
        ("push", {"repository": "rag:v1"}, "repository"),
        ("login", {"registry": "docker.io"}, "registry is 'docker.io'"),
        ("login", {"registry": "12345"}, "registry"),
        ("deploy", {"wait": "false"}, "wait is false, and of several services"),
        ("deploy", {"wait": "false", "on-failure": "rollback"}, "on-failure is about that"),
        ("deploy", {"desired-count": "-1"}, "desired-count"),
        ("render", {"task-definition": ""}, "task-definition"),
        ("register", {"task-definition": ""}, "task-definition"),
        ("register", {"task-definition": "td.json", "container": "nope"}, "'nope'"),
        ("rollback", {"to": "the day before"}, "to"),
        ("run-task", {"count": "1001"}, "count"),
        ("run-task", {"task-definition": "./none.json"}, "task definition"),
        ("run-task", {"task-definition": "td.json", "image": "nope=x:2"}, "'nope'"),
        ("run-task", {"container-overrides": "{a: {image: x}}"}, "container-overrides has 'image' in 'a'"),
        ("run-task", {"container-overrides": "{a: {comand: x}}"}, "Is 'command' meant?"),
        ("run-task", {"container-overrides": "{a: {command: [1]}}"}, "container-overrides: a: command"),
        (
            "run-task",
            {"container-overrides": "{a: {environment: [A]}}"},
            "container-overrides: a: environment",
        ),
        ("run-task", {"container-overrides": "{a: {memory: 1.5}}"}, "container-overrides: a: memory"),
        ("run-task", {"container-overrides": "{a: {gpu: two}}"}, "container-overrides: a: gpu"),
        ("run-task", {"container-overrides": "{a: }"}, "nothing to replace in 'a'"),
        ("deploy", {"before-task": "migrate"}, "before-task"),
        ("run-task", {"environment": "GONE"}, "environment"),
        ("run-task", {"tags": "GONE"}, "tags"),
        ("run-task", {"volume": "a: 1"}, "volume"),
        ("run-task", {"started-by": "a b"}, "started-by"),
        ("run-task", {"security-groups": "sg"}, "security-groups"),
        ("run-task", {"capacity-providers": "gpu=x"}, "capacity-providers"),
        ("run-task", {"capacity-providers": "gpu=1,x"}, "NAME=WEIGHT,BASE"),
        ("deploy", {"capacity-providers": "gpu=1\ngpu"}, "names 'gpu' twice"),
        ("deploy", {"capacity-providers": '[{"capacityProvider": "gpu", "wight": 1}]'}, "wight"),
        ("deploy", {"capacity-providers": "gpu=1001"}, "the most is 1000"),
        ("run-task", {"capacity-providers": "gpu=1,100001"}, "the most is 100000"),
        ("deploy", {"capacity-providers": "gpu=1,1\nspot=1,2"}, "more than one capacity provider a base"),
        ("deploy", {"capacity-providers": "gpu=0,1\nspot=0"}, "a weight above 0"),
        ("run-task", {"capacity-providers": '{"capacityProvider": "gpu", "weight": -1}'}, "the API's list"),
        ("run-task", {"capacity-providers": "gpu", "launch-type": "ec2"}, "launch-type"),
        ("run-task", {"propagate-tags": "SERVICE"}, "propagate-tags"),
        ("deploy", {"enable-ecs-managed-tags": "maybe"}, "enable-ecs-managed-tags"),
        ("deploy", {"log-driver": "logentries"}, "log-driver"),
        ("deploy", {"env-files": "s3://bucket/a.env"}, "env-files"),
        (
            "deploy",
            {"env-files": "\n".join(f"arn:aws:s3:::b/{n}.env" for n in range(11))},
            "a container takes 10",
        ),
        ("deploy", {"volume": "name: a"}, "volume needs name and roleArn"),
        ("deploy", {"volume": '{name: a, roleArn: "", sizeInGiB: 5}'}, "volume needs name and roleArn"),
        ("run-task", {"volume": "{name: a, roleArn: a b, sizeInGiB: 5}"}, "The roleArn of volume is 'a b'"),
        ("deploy", {"volume": "{name: a, roleArn: r, sizeInGB: 5}"}, "Did you mean sizeInGiB?"),
        ("run-task", {"volume": '{name: a, roleArn: r, sizeInGiB: "5"}'}, "which is not a whole number"),
        ("run-task", {"volume": "{name: a, roleArn: r, sizeInGiB: true}"}, "which is not a whole number"),
        ("deploy", {"volume": "{name: a, roleArn: r, sizeInGiB: -3}"}, "a whole number of 1 or more"),
        ("deploy", {"volume": "{name: a, roleArn: r, iops: 3000}"}, "neither sizeInGiB nor snapshotId"),
        (
            "deploy",
            {"volume": "{name: a, roleArn: r, sizeInGiB: 5, terminationPolicy: {deleteOnTermination: true}}"},
            "only a task's volume takes",
        ),
        (
            "run-task",
            {"volume": "{name: a, roleArn: r, sizeInGiB: 5, tagSpecifications: [{tags: [{value: 1}]}]}"},
            "put numbers in quotes",
        ),
        (
            "run-task",
            {"volume": "{name: a, roleArn: r, sizeInGiB: 5, tagSpecifications: [{propagateTags: SERVICE}]}"},
            "only a service's volume takes",
        ),
        ("run-task", {"count": "-1"}, "a whole number of 1 or more"),
        ("push", {"platforms": " , "}, "platforms names no platform"),
        ("push", {"build-contexts": "a="}, "build-contexts has a="),
        ("push", {"ssh": "default=" + "a" * 5000}, "which is not there"),
        ("push", {"ssh": "default=,"}, "which is not there"),
        ("deploy", {"tags": "ecs-gpu-deploy:commit=1"}, "ecs-gpu-deploy:commit"),
        ("watch", {"service-deployment": "42"}, "service-deployment"),
        ("deploy", {"tags": "aws:x=1"}, "aws:x"),
        ("run-task", {"tags": "AWS:x=1"}, "AWS:x"),
        ("deploy", {"set": "'x[?name==': 1"}, "The path 'x[?name=='"),
        ("deploy", {"set": "revision: 1"}, "revision"),
        ("deploy", {"health-check": "intervall: 3"}, "intervall"),
        ("deploy", {"environment": "A=1", "secrets": "A=arn"}, "'A'"),
        ("deploy", {"task-definition": "td.json", "container": "nope"}, "'nope'"),
        ("deploy", {"task-definition": "td.json", "log-options": "foo=bar"}, "logConfiguration"),
        ("deploy", {"task-definition": "td.json", "health-check": "interval: 3"}, "health check"),
        ("deploy", {"task-definition": "td.json", "set": "volumes[3].name: a"}, "volumes"),
        ("deploy", {"service": "arn:aws:ecs:eu-central-1:123456789012:service/other/s"}, "names the cluster"),
        ("history", {"service": "arn:aws:ecs:eu-central-1:123456789012:cluster/c"}, "no ARN of a service"),
        ("rollback", {"service": "a\nb"}, "service names 2 services, and rollback takes one"),
        ("run-task", {"service": "a\nb"}, "run-task takes one"),
        ("deploy", {"service": ""}, "The service is missing"),
        ("rollback", {"service": ""}, "The service is missing"),
        ("history", {"service": ""}, "The service is missing"),
        ("watch", {"service": ""}, "The service is missing"),
        ("push", {"repository": ""}, "The repository is missing"),
    ],
)
def test_what_is_wrong_is_refused_with_its_name(command, inputs, name):
    with pytest.raises(InvalidInput) as caught:
        CHECKS[command](settings_from(command, inputs={**LEAST[command], **inputs}))
    assert name in str(caught.value)


ARN = "arn:aws:ecs:eu-central-1:123456789012:service/other/{}"


@pytest.mark.parametrize(
    ("cluster", "service", "meant"),
    [
        ("", "s", "default"),
        ("", ARN.format("s"), "other"),
        ("other", ARN.format("s"), "other"),
        ("arn:aws:ecs:eu-central-1:123456789012:cluster/other", ARN.format("s"), "other"),
        ("c", f"{ARN.format('s')}\nt", "c"),
        ("", f"{ARN.format('s')}\nt", "default"),
        ("", f"{ARN.format('s')}\n{ARN.format('t')}", "other"),
        ("", "arn:aws:ecs:eu-central-1:123456789012:service/s", "default"),
    ],
)
def test_the_cluster_is_the_one_given_or_the_arns_or_ecss_default(cluster, service, meant):
    settings = settings_from("deploy", inputs={"cluster": cluster, "service": service})
    assert checks.check_deploy(settings).cluster.rpartition("/")[2] == meant
    assert checks.run_options(settings).cluster == meant


KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIE=\nab=cd\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        (f"KEY={KEY}\nTOKEN=x", {"KEY": KEY, "TOKEN": "x"}),
        (f"TOKEN=x\nKEY={KEY}", {"KEY": KEY, "TOKEN": "x"}),
        (f"KEY={KEY}\nOTHER={KEY}", {"KEY": KEY, "OTHER": KEY}),
        (f"  KEY={KEY}".replace("\n", "\n  "), {"KEY": KEY}),
        (f"KEY={KEY}".replace("\n", "\r\n"), {"KEY": KEY}),
        ("FILE<<END\na=b\n\n  c\nEND\nTOKEN=x", {"FILE": "a=b\n\n  c", "TOKEN": "x"}),
        ("FILE<<END\nEND", {"FILE": ""}),
        ('"FILE=a=b\n""c""\n\nd"\nTOKEN=x', {"FILE": 'a=b\n"c"\n\nd', "TOKEN": "x"}),
        ('"FILE=one line"\nTOKEN=x', {"FILE": "one line", "TOKEN": "x"}),
        (json.dumps({"KEY": KEY, "TOKEN": "x"}), {"KEY": KEY, "TOKEN": "x"}),
    ],
    ids=[
        *("a key", "a key at the end", "two keys", "an indented key", "a key with CR LF"),
        *("a heredoc", "an empty heredoc", "quotes", "quotes on one line", "JSON"),
    ],
)
def test_a_build_secret_of_several_lines_stays_one_value(text, secrets):
    request = checks.check_push(settings_from("push", inputs={**LEAST["push"], "build-secrets": text}))
    assert request.build.secrets == secrets


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("FILE<<END\nhush\nFIN", "no line that ends the value"),
        ('"FILE=hush\nmore', "a quote that is not closed"),
        ("FILE=hush\nmore lines", "is not NAME=VALUE"),
    ],
    ids=["a heredoc without an end", "an open quote", "lines that nothing holds together"],
)
def test_a_build_secret_whose_lines_nothing_holds_together_is_refused_and_not_shown(text, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        checks.check_push(settings_from("push", inputs={**LEAST["push"], "build-secrets": text}))
    assert "hush" not in str(caught.value)


def test_a_secret_is_not_in_the_text_of_a_request():
    inputs = {**LEAST["push"], "build-secrets": "TOKEN=hush"}
    request = checks.check_push(settings_from("push", inputs=inputs))
    assert request.build.secrets == {"TOKEN": "hush"}
    assert "hush" not in repr(request)


def test_a_misspelt_field_is_a_type_error(tmp_path):
    lines = [
        "from ecs_gpu_deploy.core.judge.options import WaitOptions",
        "from ecs_gpu_deploy.inputs.requests import DeployRequest",
        "def seconds(request: DeployRequest) -> float:",
        "    wait: WaitOptions = request.rollout.wait",
        "    return wait.poll_intervall",
    ]
    told, status = type_errors(tmp_path, lines)
    assert status == 1
    assert "snippet.py:5: error:" in told
    assert "[attr-defined]" in told
