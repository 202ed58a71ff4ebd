"""What a rollout needs outside ECS is looked up over the wire: there, not there, or not checked and why."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.rules.document import document_of
from ecs_gpu_deploy.core.rules.findings import judged
from ecs_gpu_deploy.core.rules.rule import built_in_rules
from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.aws.ecs import Ecs
from ecs_gpu_deploy.edges.ci.github import GitHub
from ecs_gpu_deploy.edges.ci.github_api import GitHubApi
from ecs_gpu_deploy.edges.machine.clock import WallClock
from ecs_gpu_deploy.edges.machine.reporter import Reporter
from ecs_gpu_deploy.inputs.requests import OwnRules
from ecs_gpu_deploy.result import Check, CheckStatus
from ecs_gpu_deploy.steps.check_references import check_references
from ecs_gpu_deploy.steps.judge_settings import judge_settings
from ecs_gpu_deploy.steps.see_for_rules import see_for_rules
from program import run
from sandbox_process import RunningSandbox, sandbox_thread

SERVICE = "ki-rag-api"


def context_of(sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> tuple[Context, Counter[str]]:
    """Return the program's own edges against a sandbox, and what they call."""
    for name, value in sandbox.environment.items():
        monkeypatch.setenv(name, value)
    calls: Counter[str] = Counter()
    clock, log = WallClock(), StringIO()
    github = GitHub(stream=log)
    aws = Aws(region=sandbox.environment["AWS_REGION"], clock=clock, calls=calls)
    context = Context(
        aws=aws,
        ecs=Ecs(aws, "ki-cluster"),
        clock=clock,
        reporter=Reporter(clock, log, groups=github, frame=None, began=0.0),
        record=lambda _: None,
        github=GitHubApi.from_environment({}, given="", clock=clock, mask=github.mask),
        mask=github.mask,
    )
    return context, calls


OK, FAILED, NOT_CHECKED = CheckStatus.OK, CheckStatus.FAILED, CheckStatus.NOT_CHECKED


def statuses(checks: tuple[Check, ...]) -> dict[str, CheckStatus]:
    return {check.name: check.status for check in checks}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with sandbox_thread() as running:
        yield running


def test_the_default_world_is_as_it_should_be(
    sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, calls = context_of(sandbox, monkeypatch)
    definition = dict(context.ecs.fetch_task_definition(SERVICE).body)
    seen = see_for_rules(context, definition, service=SERVICE)
    said = judged(document_of(seen), built_in_rules(), unseen=seen.unseen)
    assert [finding.code for finding in said.findings] == ["slow-start-without-effect", "tag-can-move"]
    reasons = {each.rule: each.reason for each in said.unchecked}
    assert reasons["grace-tight"] == "no earlier load of this service was measured"
    assert reasons["root-user"].startswith("ecr.GetDownloadUrlForLayer: The layer with digest sha256:")
    checks = check_references(context, seen)
    assert statuses(checks) == {
        "own permissions": OK,
        "execution role": OK,
        "task role": OK,
        f"image {definition['containerDefinitions'][0]['image']}": NOT_CHECKED,
        "secrets": OK,
        "execution role's permissions": OK,
        "log group /ecs/ki-rag-api": OK,
        "target group ki-rag-api": OK,
    }
    assert calls.total() <= 21
    calls.clear()
    proven = check_references(context, seen, proven=definition)
    assert set(statuses(proven)) == {
        "own permissions",
        f"image {definition['containerDefinitions'][0]['image']}",
        "target group ki-rag-api",
    }
    assert calls.total() == 2
    with context.aws.remembering():
        see_for_rules(context, definition, service=SERVICE)
        calls.clear()
        again = see_for_rules(context, definition, service=SERVICE)
        assert replace(again, now=0.0) == replace(seen, now=0.0)
    assert set(calls) <= {"ecr.GetLifecyclePolicy", "ecr.GetDownloadUrlForLayer"}, "what AWS refused alone"
    assert all(call["operation"].startswith(READING) for call in sandbox.calls())


CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "config": {"Env": ["CUDA_VERSION=12.4.1"], "Cmd": ["uvicorn", "rag:app", "--workers=2"], "User": ""},
    "history": [{"created_by": "RUN apt-get install -y python3"}],
}


def test_the_configuration_of_an_image_is_read_for_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    with sandbox_thread() as own:
        context, _ = context_of(own, monkeypatch)
        definition = dict(context.ecs.fetch_task_definition(SERVICE).body)
        own.add({"images": [{"image": "ki-rag-api:told", "config": CONFIG}]})
        container = {**definition["containerDefinitions"][0], "image": f"{IMAGE}:told"}
        definition["containerDefinitions"] = [container]
        seen = see_for_rules(context, definition, service=SERVICE)
        image = next(
            check for check in check_references(context, seen) if check.name == f"image {IMAGE}:told"
        )
    assert (image.status, image.message) == (OK, "It is there for linux/amd64.")
    said = judged(document_of(seen), built_in_rules(), unseen=seen.unseen)
    codes = {finding.code for finding in said.findings}
    assert {"root-user", "workers-share-gpu", "listens-on-loopback"} <= codes
    assert not {"root-user", "health-check-tool-missing"} & {each.rule for each in said.unchecked}


READING = ("Describe", "Get", "List", "Batch", "Simulate")
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:ki-rag-api/openai-api-key-AbCdEf"


ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role"
IMAGE = f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com/ki-rag-api"
LOGS = {"awslogs-group": "/ecs/gone", "awslogs-region": "eu-central-1"}


def allow(action: str, **further: Any) -> str:
    """Return a policy, or a trust policy, of one statement."""
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, **further}]}
    )


def changed(definition: Mapping[str, Any], *, made: str) -> dict[str, Any]:
    """Return the definition with each thing that it names gone or unfit; *made* is a secret with a token."""
    container = {
        **definition["containerDefinitions"][0],
        "image": f"{IMAGE}:gone",
        "secrets": [
            {"name": "TOKEN", "valueFrom": f"{made}:token::"},
            {"name": "OTHER", "valueFrom": f"{made}:other::"},
            {"name": "PLAIN", "valueFrom": f"{SECRET}:key::"},
            {"name": "GONE", "valueFrom": f"{SECRET[:-6]}Gone12"},
            {"name": "PARAMETER", "valueFrom": "not-there"},
        ],
        "logConfiguration": {"logDriver": "awslogs", "options": LOGS},
    }
    roles = {"executionRoleArn": f"{ROLE}/of-instances", "taskRoleArn": f"{ROLE}/gone"}
    return {**definition, **roles, "networkMode": "awsvpc", "containerDefinitions": [container]}


def test_what_is_not_there_is_said_each_by_itself(
    sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, _ = context_of(sandbox, monkeypatch)
    with sandbox.client("iam") as iam:
        trust = allow("sts:AssumeRole", Principal={"Service": "ec2.amazonaws.com"})
        iam.create_role(RoleName="of-instances", AssumeRolePolicyDocument=trust)
        policy = allow("ssm:*", Resource="*")
        iam.put_role_policy(RoleName="of-instances", PolicyName="p", PolicyDocument=policy)
    with sandbox.client("secretsmanager") as secrets:
        made = secrets.create_secret(Name="hub", SecretString='{"token": "hidden-value-1"}')["ARN"]
    definition = changed(context.ecs.fetch_task_definition(SERVICE).body, made=made)
    seen = see_for_rules(context, definition, service=SERVICE)
    network = {"awsvpcConfiguration": {"subnets": ["subnet-gone"], "securityGroups": ["sg-gone"]}}
    seen = replace(seen, service={**(seen.service or {}), "networkConfiguration": network})
    checks = check_references(context, seen, reads_secrets=True)
    no_key = "is no JSON object with the key"
    not_allowed = f"{ROLE}/of-instances is not allowed secretsmanager:GetSecretValue."
    of_instances = f"{ROLE}/of-instances does not trust ecs-tasks.amazonaws.com: no task can assume it."
    assert [(check.name, check.message) for check in checks if check.status == FAILED] == [
        ("execution role", of_instances),
        ("task role", f"There is no role {ROLE}/gone."),
        ("secrets", f"There is no secret {SECRET[:-6]}Gone12."),
        ("secrets", "There is no parameter not-there."),
        ("secret key of OTHER", f"{made} {no_key} other: no task starts."),
        ("secret key of PLAIN", f"{SECRET} {no_key} key: no task starts."),
        ("execution role's permissions", not_allowed),
        ("log group /ecs/gone", "It is not there in eu-central-1: no task starts."),
        ("target group ki-rag-api", "Its target type is instance, and the network mode awsvpc needs ip."),
        ("subnets", "There are no subnets subnet-gone."),
        ("security groups", "There are no security groups sg-gone."),
    ]
    assert statuses(checks)[f"image {IMAGE}:gone"] == NOT_CHECKED
    assert statuses(checks)["secret key of TOKEN"] == OK
    statement = next(check.hint for check in checks if check.name == "execution role's permissions")
    assert json.loads(statement.partition(": ")[2])["Action"] == ["secretsmanager:GetSecretValue"]
    assert "hidden-value" not in repr(checks)


def test_what_another_region_account_or_key_decides_is_looked_up_there_or_not_checked(
    sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, _ = context_of(sandbox, monkeypatch)
    key = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    with sandbox.client("iam") as iam:
        trust = allow("sts:AssumeRole", Principal={"Service": "ecs-tasks.amazonaws.com"})
        iam.create_role(RoleName="of-secrets", AssumeRolePolicyDocument=trust)
        policy = allow(["ssm:*", "secretsmanager:*"], Resource="*")
        iam.put_role_policy(RoleName="of-secrets", PolicyName="p", PolicyDocument=policy)
    with sandbox.client("secretsmanager") as secrets:
        made = secrets.create_secret(Name="own-key", SecretString="hidden-value-2", KmsKeyId=key)["ARN"]
    with sandbox.client("ssm", region_name="us-east-1") as ssm:
        ssm.put_parameter(Name="/rag/there", Value="hidden-value-3", Type="String")
    definition = dict(context.ecs.fetch_task_definition(SERVICE).body)
    there = "arn:aws:ssm:us-east-1:123456789012:parameter/rag/there"
    wanted = [("KEY", made), ("THERE", there)]
    foreign = "arn:aws:ssm:us-east-1:999999999999:parameter/rag/there"

    def checked(values: list[tuple[str, str]]) -> dict[str, Check]:
        container = {
            **definition["containerDefinitions"][0],
            "secrets": [{"name": name, "valueFrom": value} for name, value in values],
        }
        role = {"executionRoleArn": f"{ROLE}/of-secrets", "containerDefinitions": [container]}
        seen = see_for_rules(context, {**definition, **role}, service=SERVICE)
        return {check.name: check for check in check_references(context, seen)}

    checks = checked(wanted)
    assert checks["secrets"].status == OK, checks["secrets"].message
    assert checks["execution role's permissions"].status == OK
    assert checks["execution role's keys"].status == NOT_CHECKED
    assert json.loads(checks["execution role's keys"].hint.partition(": ")[2])["Resource"] == [key]
    checks = checked([("FOREIGN", foreign)])
    assert checks["secrets"].status == NOT_CHECKED
    assert "another account" in checks["secrets"].message
    assert checks["execution role's permissions"].status == NOT_CHECKED
    assert "999999999999 allows is not seen" in checks["execution role's permissions"].message
    assert "hidden-value" not in repr(checks)


def test_what_is_denied_is_not_checked_and_never_right(monkeypatch: pytest.MonkeyPatch) -> None:
    services = ("iam", "secretsmanager", "logs", "elasticloadbalancing", "ec2", "ecr")
    denied = [*(f"{each}:*" for each in services), "ecs:DescribeClusters", "ecs:ListContainerInstances"]
    with sandbox_thread() as own:
        context, _ = context_of(own, monkeypatch)
        definition = dict(context.ecs.fetch_task_definition(SERVICE).body)
        own.add({"deny": denied})
        seen = see_for_rules(context, definition, service=SERVICE)
        checks = check_references(context, seen)
    assert {check.status for check in checks} == {NOT_CHECKED}
    assert all(check.message.startswith("Not checked: ") for check in checks)
    hints = {check.name: check.hint for check in checks}
    assert hints["own permissions"] == "Allow iam:SimulatePrincipalPolicy."
    said = judged(document_of(seen), built_in_rules(), unseen=seen.unseen)
    reasons = {each.rule: each.reason for each in said.unchecked}
    for rule in ("grace-absent", "gpu-impaired", "provider-unscaled", "tag-can-move"):
        assert "not authorized" in reasons[rule], rule


FOUR_VCPU = """
- id: four-vcpu
  when: "facts.containers[?raw.cpu < `4096`].name"
  severity: warning
  message: "{it} has less than 4 vCPU."
"""


def test_the_missing_action_comes_as_a_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    with sandbox_thread() as own:
        context, _ = context_of(own, monkeypatch)
        definition = dict(context.ecs.fetch_task_definition(SERVICE).body)
        own.add({"deny": ["ecs:UpdateService", "iam:PassRole"]})
        own_rules = OwnRules(text=FOUR_VCPU, name="rules.yml")
        judgement = judge_settings(
            context, definition, service=SERVICE, rules=own_rules, changes={"desiredCount": 0}
        )
    check = judgement.checks[0]
    codes = [finding.code for finding in judgement.findings]
    assert codes[:3] == ["check-failed", "desired-zero", "four-vcpu"]
    assert set(codes[3:]) == {"slow-start-without-effect", "tag-can-move", "rules-not-checked"}
    assert check.message.endswith("user/moto is not allowed ecs:UpdateService, iam:PassRole.")
    service = f"arn:aws:ecs:eu-central-1:{ACCOUNT}:service/ki-cluster/ki-rag-api"
    roles = [f"{ROLE}/ki-rag-api-execution", f"{ROLE}/ki-rag-api-task"]
    assert json.loads(check.hint.removeprefix("Add to its policy: ")) == [
        {"Effect": "Allow", "Action": ["ecs:UpdateService"], "Resource": [service]},
        {"Effect": "Allow", "Action": ["iam:PassRole"], "Resource": roles},
    ]


def test_the_end_of_temporary_credentials_is_held_against_the_wait(tmp_path: Path) -> None:
    with sandbox_thread(start_time=time.time()) as own:
        flags = ("--cluster", "ki-cluster", "--service", SERVICE)
        ends = datetime.fromtimestamp(time.time() + 1800, UTC).isoformat()
        soon = run(own, tmp_path, "plan", *flags, AWS_SESSION_TOKEN="t", AWS_CREDENTIAL_EXPIRATION=ends)
        never = run(own, tmp_path, "plan", *flags)
        unknown = run(own, tmp_path, "plan", *flags, AWS_SESSION_TOKEN="t")
    assert "The credentials last 30m, and the run may wait 1h00m: it loses sight" in soon.shown
    assert "session-shorter-than-wait" not in never.shown
    assert "session-shorter-than-wait (how long the credentials last is not known)" in unknown.shown


def test_a_key_of_a_secret_is_looked_for_on_request_and_the_value_goes_nowhere(tmp_path: Path) -> None:
    with sandbox_thread() as own:
        with own.client("secretsmanager") as secrets:
            made = secrets.create_secret(Name="hub", SecretString='{"token": "hidden-value-1"}')["ARN"]
        wanted = ("--secrets", f"TOKEN={made}:token::\nOTHER={made}:other::")
        flags = ("--cluster", "ki-cluster", "--service", SERVICE, *wanted)
        unread = run(own, tmp_path, "plan", *flags)
        read = run(own, tmp_path, "plan", *flags, "--check-secret-keys", "true", "--debug")
        own.add({"deny": ["secretsmanager:GetSecretValue"]})
        denied = run(own, tmp_path, "plan", *flags, "--check-secret-keys", "true")
    told = {check["name"]: check["status"] for check in unread.result["plan"]["checks"]}
    assert told["secret key of TOKEN"] == told["secret key of OTHER"] == "not-checked"
    assert "GetSecretValue" not in unread.operations
    told = {check["name"]: check["status"] for check in read.result["plan"]["checks"]}
    assert (told["secret key of TOKEN"], told["secret key of OTHER"]) == ("ok", "failed")
    assert "hidden-value-1" not in read.shown + json.dumps(read.result)
    assert "Allow secretsmanager:GetSecretValue." in denied.shown
