"""The typed values of the options: of the types that the readers give, each in its own field of a request."""

import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

import pytest
from command_checks import CHECKS, LEAST
from typed_snippet import type_errors

from ecs_gpu_deploy.core.capacity.gpus import GpuRequest
from ecs_gpu_deploy.core.past.revisions import TargetWish
from ecs_gpu_deploy.inputs import checks
from ecs_gpu_deploy.inputs.options import BUILD, OPTIONS
from ecs_gpu_deploy.inputs.readers import ABSENT, READERS
from ecs_gpu_deploy.inputs.settings import settings_from
from ecs_gpu_deploy.inputs.values import Values


def read_type(option):
    """Return the type of an option's value: its reader's, its choices, with None where it may be absent."""
    if option.name == "service":
        return str
    kind = typing.get_type_hints(READERS[option.kind])["return"]
    if option.kind == "choice":
        kind = typing.Literal[tuple(dict.fromkeys(option.choices + option.batch_choices))]
    if typing.get_origin(kind) is dict:
        kind = Mapping[typing.get_args(kind)]
    return kind if option.default or option.kind in ABSENT else kind | None


def test_each_option_has_its_field_and_its_type():
    wanted = {option.field: read_type(option) for option in OPTIONS} | {"services": tuple[str, ...]}
    assert typing.get_type_hints(Values) == wanted


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("commit: str = values.comit", "attr-defined"),
        ('pin: Literal["tag", "digest"] = values.ongoing', "assignment"),
        ("wait: bool = values.timeout", "assignment"),
    ],
)
def test_a_misspelt_or_swapped_option_is_a_type_error(tmp_path, line, error):
    lines = [
        "from typing import Literal",
        "from ecs_gpu_deploy.inputs.values import Values",
        "def check(values: Values) -> None:",
        f"    {line}",
    ]
    told, status = type_errors(tmp_path, lines)
    assert status == 1
    assert f"[{error}]" in told


BESIDE = {
    **{option.name: {"repository": "rag", "context": "."} for option in OPTIONS if option.commands == BUILD},
    "security-groups": {"subnets": "subnet-1"},
    "wait": {"service": "s"},
    "wait-until": {"service": "s"},
    "calibrate": {"preflight": "warn"},
    "check-secret-keys": {"preflight": "warn"},
    "rules": {"preflight": "warn"},
    "role-external-id": {"role-chain": "arn:aws:iam::123456789012:role/first"},
}
"""What else is given with an option, so that it means something."""
TEXTS = {
    "container_overrides": "rag: {command: [migrate]}",
    "accounts": "210987654321",
    "assignments": "NAME=other",
    "boolean": None,
    "switch": "true",
    "strategy": "other=3,1",
    "deadlines": "pull=7m",
    "duration": "77s",
    "duration_or_zero": "77s",
    "gpu": "2",
    "gpu_sharing": "memory: 512",
    "images": "repo/other:1",
    "integer": "77",
    "lines": "other",
    "mapping": "retries: 7",
    "names": "other",
    "number": "7.5",
    "pairs": "NAME=other",
    "policy": '{"Statement": [{"Effect": "Allow"}]}',
    "positive_integer": "7",
    "text": "other",
    "threshold": "7",
    "token": "ghs_other",
    "words": "other words",
}
APPSPEC = '{"Resources": [{"T": {"Type": "AWS::ECS::Service", "Properties": {}}}]}'
OWN_TEXTS = {
    "rules": "rules.yml",
    "bake-time": "7m",
    "step-bake-time": "7m",
    "alarm-action": "rollback",
    "codedeploy-appspec": "appspec.json",
    "allowed-account-ids": "210987654321",
    "build-secrets": "NAME=other",
    "build-contexts": "NAME=folder",
    "build-options": "--no-cache",
    "ssh": "default=other",
    "build-secret-files": "NAME=other",
    "context": "folder",
    "require-attestation": "acme/rag/.github/workflows/build.yml@refs/heads/main",
    "env-files": "arn:aws:s3:::bucket/.env",
    "service": "other",
    "service-deployment": "arn:aws:ecs:eu-central-1:123456789012:service-deployment/c/s/d",
    "registry": "210987654321",
    "role-chain": "arn:aws:iam::123456789012:role/other",
    "role-to-assume": "arn:aws:iam::123456789012:role/other",
    "role-duration": "30m",
    "role-external-id": "other",
    "task-cpu": "2048",
    "task-memory": "2048",
    "to": "family:7",
    "volume": "{name: other, roleArn: arn, sizeInGiB: 9}",
    "platforms": "linux/arm64",
}
LANDS_IN = {
    "check-secret-keys": {"reads_secrets"},
    "preflight": {"mode"},
    "rules": {"rules", "text", "name"},
    "all": {"limit"},
    "allowed-account-ids": {"allowed_accounts"},
    "breaker-threshold": {"breaker_threshold", "type", "value"},
    "build-args": {"arguments"},
    "build-network": {"network"},
    "build-contexts": {"contexts"},
    "build-options": {"flags"},
    "image-labels": {"labels"},
    "build-secrets": {"secrets"},
    "build-secret-files": {"secret_files"},
    "capacity-providers": {"strategy"},
    "codedeploy-application": {"application"},
    "codedeploy-appspec": {"appspec"},
    "codedeploy-deployment-config": {"config"},
    "aws-profile": {"profile"},
    "codedeploy-deployment-description": {"description"},
    "codedeploy-deployment-group": {"group"},
    "command-override": {"command"},
    "comment": {"comments"},
    "container-overrides": {"containers"},
    "context": {"folder"},
    "cpu": {"container_cpu"},
    "gpu-sharing": {"gpu"},
    "image": {"images"},
    "memory": {"container_memory"},
    "memory-reservation": {"container_memory_reservation"},
    "output": {"prints_json"},
    "placement-timeout": {"placement_timeout", "placement_timeout_given"},
    "poll-interval": {"poll_interval", "poll_interval_given"},
    "registry": {"registries"},
    "deployment-record": {"record_in"},
    "enable-ecs-managed-tags": {"managed_tags"},
    "rendered-file": {"file"},
    "require-attestation": {"signer", "repository", "workflow", "ref", "hosts"},
    "role-chain": {"chain"},
    "role-duration": {"duration"},
    "role-external-id": {"external_id"},
    "role-session-name": {"session_name"},
    "role-session-policy": {"session_policy"},
    "role-to-assume": {"role_arn"},
    "set": {"assignments"},
    "task": {"tasks"},
    "task-cpu": {"cpu"},
    "task-memory": {"memory"},
    "timeout": {"timeout", "timeout_given"},
    "to": {"target"},
    "volume": {"volume", "name", "role_arn", "settings"},
    "wait": {"waits"},
    "wait-until": {"until"},
}
"""Fields of a request that are named otherwise than the option."""
LANDS_IN_OF = {
    ("deploy", "platforms"): {"platform", "platforms"},
    ("deploy", "require-attestation"): {"signer", "repository", "workflow", "ref", "hosts", "pin"},
    ("deploy", "service"): {"service", "services"},
    ("deploy", "task-definition"): {"name"},
    ("register", "task-definition"): {"name"},
    ("render", "task-definition"): {"name"},
    ("run-task", "task-definition"): {"name", "task_definition"},
}


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    for name in ("Dockerfile", "folder/Dockerfile", "other"):
        (tmp_path / name).touch()
    (tmp_path / "appspec.json").write_text(APPSPEC)
    (tmp_path / "rules.yml").write_text("rules: []")
    monkeypatch.chdir(tmp_path)


def text_of(option, command):
    choices = option.batch_choices if command == "run-task" and option.batch_choices else option.choices
    if option.name in OWN_TEXTS:
        return OWN_TEXTS[option.name]
    if option.kind == "choice":
        return next(choice for choice in choices if choice != option.default)
    return TEXTS[option.kind] or ("false" if option.default == "true" else "true")


def leaves(value, name=""):
    """Give the fields of a request and of what is in it, by the name of the innermost one."""
    if not is_dataclass(value) or isinstance(value, GpuRequest | TargetWish):
        return {(name, repr(value))}
    return {leaf for each in fields(value) for leaf in leaves(getattr(value, each.name), each.name)}


def asked(command, inputs):
    settings = settings_from(command, inputs=inputs)
    parts = (CHECKS[command](settings), checks.run_options(settings), checks.check_role(settings))
    return {leaf for part in parts for leaf in leaves(part)}


ROWS = [(command, option) for option in OPTIONS for command in CHECKS if command in option.commands]


@pytest.mark.parametrize(("command", "option"), ROWS, ids=[f"{c} {o.name}" for c, o in ROWS])
def test_an_option_lands_in_its_own_field_and_in_no_other(command, option):
    inputs = {**LEAST[command], **BESIDE.get(option.name, {})}
    changed = asked(command, inputs) ^ asked(command, {**inputs, option.name: text_of(option, command)})
    wanted = LANDS_IN_OF.get((command, option.name)) or LANDS_IN.get(option.name) or {option.field}
    assert {name for name, _ in changed} == wanted
