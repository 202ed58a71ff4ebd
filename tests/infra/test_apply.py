"""Apply, deploy, roll back, plan and destroy on the sandbox, each with only the permissions of its role."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from github_job import deployed, job_environment, make_way_for_terraform, printed_step
from iam_judge import verdicts
from iam_requests import ACCOUNT, TASK_SERVICE, IamRequest, iam_requests, roles_in
from prerequisites import needs_terraform
from terraform_run import ROOT, Ran, Workspace

from ecs_gpu_deploy.inputs.settings import settings_from
from ecs_gpu_deploy.sandbox.world.world import World
from sandbox_process import RunningSandbox, clean_environment, sandbox_process, sandbox_thread

pytestmark = needs_terraform

REPOSITORY = f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com/ki-rag-api"
CHANGED = {
    "task_memory": "7168",
    "ami_id": "ami-0123456789abcdef0",
    "batch_command": '["python", "-m", "another"]',
}
FIRST, SECOND, BROKEN, INGEST = ("1" * 40, "2" * 40, "b" * 40, "3" * 40)
TERRAFORMS_OWN = {"ecr:CreateRepository", "ecr:PutLifecyclePolicy"}
"""What the program does where there is no repository yet (create-repository): here Terraform made it."""
WITHOUT_PERMISSION = {"sts:GetCallerIdentity"}
CLEANING_UP = {
    "ecs:DeregisterTaskDefinition",
    "ecs:ListClusters",
    "events:ListEventBuses",
    "events:ListRuleNamesByTarget",
    "events:ListTargetsByRule",
    "scheduler:GetSchedule",
    "scheduler:ListSchedules",
    "states:DescribeStateMachine",
    "states:ListStateMachines",
}
"""What keep-revisions calls; granted with deregister_revisions only."""
SECRET = "sk-of-the-language-model"
KEYS = json.dumps({"a client": "0" * 64})
EMPTY: Mapping[str, Any] = {}
BESIDE_THE_RECORDING = {
    "iam:PassRole",  # no call of its own: RegisterTaskDefinition and RunTask are checked for it
    "iam:GetRole",  # docs/rollback.md, "Permissions": a role that no running revision names
    "ecs:ListTaskDefinitions",  # the same: commits of revisions
    "tag:GetResources",  # the same
    "ecs:RegisterTaskDefinition",  # rollback.md: a revision that was deregistered, a tag that was moved
    "ecs:ListContainerInstances",  # watching, where a task finds no room
    "logs:FilterLogEvents",  # watching a batch task
}
"""What a role may do beyond the recorded calls of its commands, and why."""
ROLES = ("deploy", "rollback", "plan", "pull-request")
COMMANDS = {
    "deploy": ("deploy", "push", "register", "run-task", "rollback"),
    "rollback": ("rollback", "watch"),
    "plan": ("plan", "history", "watch"),
    "pull-request": ("plan", "history"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The applied stack, and what each step said."""

    workspace: Workspace
    sandbox: RunningSandbox
    outputs: Mapping[str, Any]
    second_plan: Ran
    results: Mapping[str, Mapping[str, Any]]
    registered_for_batch: str
    """What the printed workflow's step for the ingest task said: the ARN of the new revision."""
    plan_after_deployments: Ran
    calls: Mapping[str, tuple[Mapping[str, Any], ...]]
    """Recorded calls by role."""
    roles_of: Mapping[str, tuple[str, ...]]
    """Roles that the task definitions of a family name."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """Apply once, deploy two good versions and a bad one, roll back, look, and run the batch task."""
    world = {"github": {"repository": "octo-org/octo-repo"}}
    folder = tmp_path_factory.mktemp("stack")
    (folder / "Dockerfile").touch()
    # The AWS CLI reads the machine's clock: with another day its credentials would have expired.
    today = datetime.now(UTC).isoformat()
    with sandbox_process(world, folder=folder, start_time=today) as sandbox:
        make_way_for_terraform(sandbox)
        workspace = Workspace.copied(
            tmp_path_factory.mktemp("terraform"),
            endpoint=sandbox.endpoint,
            github_repository="octo-org/octo-repo",
            github_owner_id="65",
            github_repository_id="74",
            ingress_cidrs=json.dumps(["203.0.113.0/24"]),
            http_only="true",
            alert_emails=json.dumps(["team@example.com"]),
            generator=json.dumps({"url": "https://llm.example.internal/v1"}),
            deletion_protection="false",
        )
        began = time.monotonic()
        first = workspace.plan()
        planned = time.monotonic()
        assert first.exit_code == 2, first.shown[-6000:]
        workspace.apply()
        applied = time.monotonic()
        second = workspace.plan()
        # Shown in any case, passed or not: how long it takes is a figure, not an assertion.
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(
                f"\nplan of the whole stack from empty: {planned - began:.1f} s (wanted: under 60 s);"
                f" apply: {applied - planned:.1f} s; plan again: {time.monotonic() - applied:.1f} s"
            )
        outputs = workspace.outputs()
        inputs, roles = outputs["inputs"], outputs["role_arns"]
        with sandbox.client("secretsmanager") as secrets:
            secrets.put_secret_value(SecretId=outputs["secret_arn"], SecretString=SECRET)
            secrets.put_secret_value(SecretId=outputs["api_keys_secret_arn"], SecretString=KEYS)
        sandbox.add(instances_and_images())
        results = {}
        for name, image in (("first", FIRST), ("second", SECOND), ("broken", BROKEN)):
            results[name] = run(
                sandbox, folder, "deploy", deployed(inputs), image=f"{REPOSITORY}:{image}", ongoing="wait"
            )
        pushed = {key: inputs[key] for key in ("region", "repository", "role-to-assume")}
        results["push"] = run(
            sandbox, folder, "push", pushed, **{"image-tag": SECOND, "extra-tags": f"live-{SECOND}"}
        )
        ingest = printed_step(
            outputs["workflow"], "Give the ingest task the same image", image=f"{REPOSITORY}:{INGEST}"
        )
        results["register"] = run(sandbox, folder, **ingest)
        consumer = printed_step(
            outputs["workflow"], "Give the ingest service the same image", image=f"{REPOSITORY}:{SECOND}"
        )
        results["ingest service"] = run(sandbox, folder, **consumer)
        there = {key: inputs[key] for key in ("region", "cluster", "service")}
        slow = {key: inputs[key] for key in ("role-duration", "timeout")}
        rolling_back = there | slow | {"role-to-assume": roles["rollback"]}
        results["rollback"] = run(sandbox, folder, "rollback", rolling_back, to="previous")
        results["watch"] = run(sandbox, folder, "watch", rolling_back)
        reading = there | {"role-to-assume": roles["plan"]}
        results["history"] = run(sandbox, folder, "history", reading)
        results["watch as plan"] = run(sandbox, folder, "watch", reading)
        proposing = there | {"role-to-assume": roles["pull-request"]}
        results["history of a pull request"] = run(sandbox, folder, "history", proposing)
        results["plan of a pull request"] = run(
            sandbox, folder, "plan", proposing, image=f"{REPOSITORY}:{SECOND}"
        )
        batch = {key: inputs[key] for key in ("region", "cluster", "role-to-assume")} | slow
        results["batch"] = run(
            sandbox, folder, "run-task", batch, **{"task-definition": outputs["batch_family"]}
        )
        yield Stack(
            workspace=workspace,
            sandbox=sandbox,
            outputs=outputs,
            second_plan=second,
            results=results,
            registered_for_batch=results["register"]["task_definition_arn"],
            plan_after_deployments=workspace.plan(),
            calls={role: calls_of(sandbox, role) for role in ROLES},
            roles_of={
                call["parameters"]["family"]: roles_in(call["parameters"])
                for call in sandbox.calls("RegisterTaskDefinition")
            },
        )


@contextmanager
def time_passes(sandbox: RunningSandbox) -> Iterator[None]:
    """Let the stepped clock go on while Terraform waits for something: a minute each fifth of a second."""
    enough = threading.Event()

    def go_on() -> None:
        while not enough.wait(0.2):
            sandbox.advance(60)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def instances_and_images() -> dict[str, Any]:
    """Return what AWS would have brought: the group's instances, and images that were pushed."""
    return {
        "instances": [
            {"type": "g5.xlarge", "count": 3, "cluster": "ki-cluster", "capacity_provider": "ki-cluster-gpu"}
        ],
        "images": [
            {"image": "ki-rag-api:live-first", "load_seconds": 95},
            {"image": f"ki-rag-api:{FIRST}", "load_seconds": 95},
            {"image": f"ki-rag-api:{SECOND}", "load_seconds": 95},
            {"image": f"ki-rag-api:{INGEST}", "exit_code": 0, "exit_after": 30, "logs": ["3 documents"]},
            {
                "image": f"ki-rag-api:{BROKEN}",
                "load_seconds": None,
                "exit_code": 1,
                "exit_after": 20,
                "logs": [{"after": 19, "text": "RuntimeError: CUDA error: invalid device function"}],
            },
        ],
    }


def run(
    sandbox: RunningSandbox, folder: Path, command: str, inputs: Mapping[str, Any] = EMPTY, **more: str
) -> Mapping[str, Any]:
    """Run the program with Terraform's outputs as its inputs and GitHub's token as its only credential."""
    result_file = folder / f"{command}-{len(list(folder.iterdir()))}.json"
    flags = [f"--{name}={value}" for name, value in {**inputs, **more}.items()]
    ran = subprocess.run(
        [sys.executable, "-m", "ecs_gpu_deploy", command, *flags, "--result-file", str(result_file)],
        cwd=folder,
        env=job_environment(sandbox),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result_file.exists(), ran.stdout + ran.stderr
    result: dict[str, Any] = json.loads(result_file.read_text(encoding="utf-8"))
    return result | {"shown": ran.stdout + ran.stderr}


def calls_of(sandbox: RunningSandbox, role: str) -> tuple[Mapping[str, Any], ...]:
    """Return the calls that were made in a session of one of the three roles."""
    return tuple(call for call in sandbox.calls() if f":assumed-role/ki-rag-api-{role}/" in call["caller"])


def decisions(stack: Stack, role: str) -> set[IamRequest]:
    """Return what IAM had to decide about a role's calls."""
    return {request for call in stack.calls[role] for request in iam_requests(call, roles_of=stack.roles_of)}


def test_second_plan_after_apply_is_empty(stack: Stack) -> None:
    assert stack.second_plan.exit_code == 0, stack.second_plan.shown


def test_good_version_is_deployed_with_the_outputs_as_inputs(stack: Stack) -> None:
    assert stack.results["first"]["outcome"] == "succeeded", stack.results["first"]["shown"]
    assert stack.results["second"]["outcome"] == "succeeded", stack.results["second"]["shown"]


def test_bad_version_is_rolled_back(stack: Stack) -> None:
    assert stack.results["broken"]["outcome"] == "rolled_back", stack.results["broken"]["shown"]


def test_rollback_to_previous_brings_the_version_before_back(stack: Stack) -> None:
    result = stack.results["rollback"]
    assert result["outcome"] == "succeeded", result["shown"]
    assert result["task_definition_arn"] == stack.results["first"]["task_definition_arn"]


def test_plan_after_deployments_shows_no_change(stack: Stack) -> None:
    assert stack.plan_after_deployments.exit_code == 0, stack.plan_after_deployments.shown


def test_the_secret_has_a_value_and_the_state_does_not_know_it(stack: Stack) -> None:
    with stack.sandbox.client("secretsmanager") as secrets:
        assert secrets.get_secret_value(SecretId=stack.outputs["secret_arn"])["SecretString"] == SECRET
    state = stack.workspace.run("state", "pull").shown
    assert stack.outputs["secret_arn"] in state
    assert SECRET not in state


@pytest.mark.parametrize(
    "name",
    [
        "push",
        "register",
        "ingest service",
        "watch",
        "history",
        "watch as plan",
        "history of a pull request",
        "plan of a pull request",
    ],
)
def test_the_other_commands_do_their_work_with_their_roles(stack: Stack, name: str) -> None:
    assert stack.results[name]["exit_code"] == 0, stack.results[name]["shown"]


def test_the_image_that_ran_is_tagged_to_stay(stack: Stack) -> None:
    with stack.sandbox.client("ecr") as ecr:
        details = ecr.describe_images(repositoryName="ki-rag-api", imageIds=[{"imageTag": SECOND}])
    assert f"live-{SECOND}" in details["imageDetails"][0]["imageTags"]


def test_the_ingest_task_runs_with_the_image_that_was_deployed(stack: Stack) -> None:
    with stack.sandbox.client("ecs") as ecs:
        shown = ecs.describe_task_definition(taskDefinition=stack.outputs["batch_family"], include=["TAGS"])
    revision = shown["taskDefinition"]
    assert revision["taskDefinitionArn"] == stack.registered_for_batch
    assert revision["containerDefinitions"][0]["image"] == f"{REPOSITORY}:{INGEST}"
    assert {"key": "ManagedBy", "value": "terraform"} in shown["tags"]
    assert revision["containerDefinitions"][0]["command"][:3] == ["python", "-m", "rag_service.ingest"]


def test_batch_task_runs_the_newest_revision_to_its_end(stack: Stack) -> None:
    batch = stack.results["batch"]
    assert batch["outcome"] == "succeeded", batch["shown"]
    assert batch["task_definition_arn"] == stack.registered_for_batch


@pytest.mark.parametrize("role", ROLES)
def test_every_recorded_call_is_allowed_by_the_roles_policy(stack: Stack, role: str) -> None:
    requests = decisions(stack, role)
    assert any(request.action == "ecs:DescribeServices" for request in requests)
    answers = judged(stack, role, requests)
    assert {request: verdict for request, verdict in answers.items() if verdict != "Allowed"} == {}


def judged(stack: Stack, role: str, requests: Iterable[IamRequest]) -> dict[IamRequest, str]:
    """Return what IAM decides about requests of a role."""
    return verdicts(
        requests,
        principal=stack.outputs["role_arns"][role],
        policies=stack.outputs["policies"][role]["permissions"],
    )


def granted(stack: Stack, role: str) -> set[str]:
    """Return the actions that a role's policies name."""
    return {
        action
        for policy in stack.outputs["policies"][role]["permissions"]
        for statement in policy["Statement"]
        for action in statement["Action"]
    }


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_its_commands_call_and_no_more(stack: Stack, role: str) -> None:
    recorded = json.loads((ROOT / "docs/permissions.json").read_text(encoding="utf-8"))
    called = {action for command in COMMANDS[role] for action in recorded[command]}
    assert called - granted(stack, role) <= TERRAFORMS_OWN | CLEANING_UP | WITHOUT_PERMISSION
    below = granted(stack, "plan") if role != "plan" else set()
    assert granted(stack, role) - called - below <= BESIDE_THE_RECORDING


def test_rollback_may_do_less_than_deploy_and_plan_less_than_rollback(stack: Stack) -> None:
    granted_to = [granted(stack, role) for role in ("pull-request", "plan", "rollback", "deploy")]
    assert all(less < more for less, more in pairwise(granted_to))


@pytest.mark.parametrize("role", ROLES)
def test_policies_are_within_the_limits_of_iam(stack: Stack, role: str) -> None:
    """6,144 characters a managed policy, 2,048 a trust policy, white space aside (IAM quotas)."""
    policies = stack.outputs["policies"][role]
    sizes = [len(json.dumps(one, separators=(",", ":"))) for one in policies["permissions"]]
    assert max(sizes) <= 6144
    assert len(json.dumps(policies["trust"], separators=(",", ":"))) <= 2048


ELSEWHERE = [
    pytest.param("/ki-cluster", "/other-cluster", ("ecs:",), id="another cluster"),
    pytest.param("ki-cluster/ki-rag-api", "ki-cluster/other", ("ecs:",), id="another service"),
    pytest.param("repository/ki-rag-api", "repository/other", ("ecr:",), id="another repository"),
    pytest.param("task-definition/ki-rag-api", "task-definition/other", ("ecs:",), id="another family"),
    pytest.param("role/ki-rag-api", "role/admin", ("iam:",), id="another role"),
    pytest.param("log-group:/ecs/ki-rag-api", "log-group:/ecs/other", ("logs:",), id="another log group"),
    pytest.param(TASK_SERVICE, "lambda.amazonaws.com", ("iam:",), id="a role for Lambda"),
]


@pytest.mark.parametrize("role", ["deploy", "rollback"])
@pytest.mark.parametrize(("old", "new", "services"), ELSEWHERE)
def test_the_same_calls_elsewhere_are_denied(
    stack: Stack, role: str, old: str, new: str, services: tuple[str, ...]
) -> None:
    moved = {
        request.elsewhere(old, new)
        for request in decisions(stack, "deploy") | decisions(stack, "rollback")
        if request.action.startswith(services) and request.elsewhere(old, new) != request
    }
    assert moved
    answers = judged(stack, role, moved)
    assert {request for request, verdict in answers.items() if verdict == "Allowed"} == set()


def test_rollback_passes_no_role_to_the_ingest_task_and_pushes_nothing(stack: Stack) -> None:
    beyond = {
        request
        for request in decisions(stack, "deploy")
        if request.action in ("ecr:PutImage", "ecs:RunTask")
        or (request.action == "iam:PassRole" and "ki-rag-api-batch" in request.resource)
    }
    assert {request.action for request in beyond} == {"iam:PassRole", "ecs:RunTask", "ecr:PutImage"}
    assert set(judged(stack, "rollback", beyond).values()) == {"ImplicitlyDenied"}


def test_the_plan_role_changes_nothing(stack: Stack) -> None:
    reading = ("Describe", "List", "Get", "BatchGet", "BatchCheck", "Filter", "Simulate")
    changing = {
        request
        for request in decisions(stack, "deploy") | decisions(stack, "rollback")
        if not request.action.partition(":")[2].startswith(reading)
    }
    assert {"ecs:UpdateService", "ecs:RegisterTaskDefinition", "iam:PassRole"} <= {
        request.action for request in changing
    }
    assert set(judged(stack, "plan", changing).values()) == {"ImplicitlyDenied"}


def test_a_pull_request_reads_neither_logs_nor_secrets(stack: Stack) -> None:
    logs = {
        request
        for request in decisions(stack, "deploy") | decisions(stack, "rollback")
        if request.action in ("logs:GetLogEvents", "logs:FilterLogEvents")
    }
    assert logs
    assert set(judged(stack, "plan", logs).values()) == {"Allowed"}
    names = ("secret_arn", "api_keys_secret_arn")
    secrets = {
        IamRequest(action="secretsmanager:GetSecretValue", resource=stack.outputs[name]) for name in names
    }
    assert set(judged(stack, "pull-request", logs | secrets).values()) == {"ImplicitlyDenied"}


RUN = (("ecs:cluster", f"arn:aws:ecs:eu-central-1:{ACCOUNT}:cluster/ki-cluster"),)
PASS = (("iam:PassedToService", TASK_SERVICE),)
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ki-rag-api"
QUEUE = f"arn:aws:sqs:eu-central-1:{ACCOUNT}:ki-rag-api-batch-queue"
FAILURES = f"arn:aws:sqs:eu-central-1:{ACCOUNT}:ki-rag-api-batch-failures"
TASK = f"arn:aws:ecs:eu-central-1:{ACCOUNT}:task/ki-cluster/0123456789abcdef"
OTHER_RUN = (("ecs:cluster", f"arn:aws:ecs:eu-central-1:{ACCOUNT}:cluster/other"),)
BUCKET = f"arn:aws:s3:::ki-rag-api-documents-{ACCOUNT}"
GROUP = f"arn:aws:logs:eu-central-1:{ACCOUNT}:log-group:/ecs/ki-rag-api"
MAY = [
    ("batch-schedule", "sqs:SendMessage", QUEUE, (), True),
    ("batch-schedule", "sqs:SendMessage", FAILURES, (), True),
    ("batch-schedule", "sqs:SendMessage", f"{QUEUE}-other", (), False),
    ("batch-schedule", "sqs:ReceiveMessage", QUEUE, (), False),
    ("execution", "logs:PutLogEvents", f"{GROUP}:log-stream:ecs/a/b", (), True),
    ("execution", "logs:PutLogEvents", f"{GROUP}-other:log-stream:ecs/a/b", (), False),
    ("execution", "ecr:BatchGetImage", f"arn:aws:ecr:eu-central-1:{ACCOUNT}:repository/ki-rag-api", (), True),
    ("execution", "ecr:BatchGetImage", f"arn:aws:ecr:eu-central-1:{ACCOUNT}:repository/other", (), False),
    ("task", "s3:GetObject", f"{BUCKET}/index/part", (), True),
    ("task", "s3:PutObject", f"{BUCKET}/index/part", (), False),
    ("task", "s3:GetObject", f"{BUCKET}/documents/a.pdf", (), False),
    ("batch-task", "s3:GetObject", f"{BUCKET}/documents/a.pdf", (), True),
    ("batch-task", "s3:PutObject", f"{BUCKET}/index/part", (), True),
    ("batch-task", "s3:PutObject", f"{BUCKET}/documents/a.pdf", (), False),
    ("batch-task", "sqs:ReceiveMessage", QUEUE, (), True),
    ("batch-task", "sqs:DeleteMessage", QUEUE, (), True),
    ("batch-task", "sqs:ChangeMessageVisibility", QUEUE, (), True),
    ("batch-task", "sqs:SendMessage", QUEUE, (), False),
    ("batch-task", "sqs:ReceiveMessage", FAILURES, (), False),
    ("batch-task", "ecs:UpdateTaskProtection", TASK, RUN, True),
    ("batch-task", "ecs:UpdateTaskProtection", TASK.replace("ki-cluster", "other"), OTHER_RUN, False),
]


@pytest.mark.parametrize("role", sorted({role for role, *_ in MAY}))
def test_the_roles_of_tasks_and_triggers_may_do_their_work_and_no_more(stack: Stack, role: str) -> None:
    name = f"ki-rag-api-{role}"
    with stack.sandbox.client("iam") as iam:
        [policy_name] = iam.list_role_policies(RoleName=name)["PolicyNames"]
        policy = iam.get_role_policy(RoleName=name, PolicyName=policy_name)["PolicyDocument"]
    wanted = {
        IamRequest(action=action, resource=resource, context=context): may
        for of, action, resource, context, may in MAY
        if of == role
    }
    answers = verdicts(wanted, principal=f"{ROLE}-{role}", policies=[policy])
    assert {request: answer == "Allowed" for request, answer in answers.items()} == wanted


def test_the_execution_role_reads_its_own_secrets(stack: Stack) -> None:
    with stack.sandbox.client("iam") as iam:
        document = iam.get_role_policy(RoleName="ki-rag-api-execution", PolicyName="start")["PolicyDocument"]
    own = IamRequest(action="secretsmanager:GetSecretValue", resource=stack.outputs["secret_arn"])
    keys = IamRequest(action=own.action, resource=stack.outputs["api_keys_secret_arn"])
    other = own.elsewhere("ki-rag-api/", "other/")
    answers = verdicts([own, keys, other], principal=f"{ROLE}-execution", policies=[document])
    assert answers == {own: "Allowed", keys: "Allowed", other: "ImplicitlyDenied"}


MAIN = "repo:octo-org/octo-repo:ref:refs/heads/main"
TOKENS = [
    pytest.param({}, ROLES, id="the branch main of the repository"),
    pytest.param({"sub": "repo:octo-org@65/octo-repo@74:ref:refs/heads/main"}, ROLES, id="immutable form"),
    pytest.param({"sub": "repo:octo-org@66/octo-repo@74:ref:refs/heads/main"}, (), id="another owner's id"),
    pytest.param({"sub": "repo:octo-org/octo-repo:pull_request"}, ("pull-request",), id="a pull request"),
    pytest.param({"sub": "repo:octo-org/octo-repo:ref:refs/heads/feature"}, (), id="another branch"),
    pytest.param({"sub": "repo:octo-org/octo-repo:ref:refs/tags/main"}, (), id="a tag of the branch's name"),
    pytest.param({"sub": "repo:octo-org/octo-repo:environment:prod"}, (), id="an environment"),
    pytest.param({"sub": "repo:octo-org/other:ref:refs/heads/main"}, (), id="another repository"),
    pytest.param({"sub": "repo:Octo-Org/octo-repo:ref:refs/heads/main"}, (), id="another spelling"),
    pytest.param({"aud": "https://github.com/octo-org"}, (), id="another audience"),
]


@pytest.mark.parametrize(("claims", "admitted"), TOKENS)
def test_sts_admits_the_tokens_that_the_trust_policies_name(
    stack: Stack, claims: Mapping[str, str], admitted: tuple[str, ...]
) -> None:
    roles = [{"name": role, "trust": stack.outputs["policies"][role]["trust"]} for role in ROLES]
    world = World.from_document({"github": {"claims": {"sub": MAIN, **claims}}, "roles": roles}, name="trust")
    with sandbox_thread(world) as sandbox, sandbox.client("sts") as sts:
        environment = sandbox.announcement["github_environment"]
        asked = urllib.request.Request(
            f"{environment['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience=sts.amazonaws.com",
            headers={"Authorization": f"bearer {environment['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"},
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            token = json.load(answer)["value"]
        for role in ROLES:
            asked_for = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/{role}", "RoleSessionName": "test"}
            if role in admitted:
                sts.assume_role_with_web_identity(**asked_for, WebIdentityToken=token)
            else:
                with pytest.raises(sts.exceptions.ClientError, match=r"AccessDenied|InvalidIdentityToken"):
                    sts.assume_role_with_web_identity(**asked_for, WebIdentityToken=token)


def test_a_deployment_from_another_branch_is_refused(stack: Stack, tmp_path: Path) -> None:
    world = {"github": {"ref": "refs/heads/feature"}, "clusters": ["ki-cluster"]}
    trust = stack.outputs["policies"]["deploy"]["trust"]
    role = {"name": "ki-rag-api-deploy", "trust": trust}
    with sandbox_process({**world, "roles": [role]}, folder=tmp_path) as sandbox:
        result = run(
            sandbox, tmp_path, "deploy", deployed(stack.outputs["inputs"]), image=f"{REPOSITORY}:{FIRST}"
        )
    assert (result["exit_code"], result["outcome"]) == (3, "refused")


def test_the_printed_workflow_names_inputs_that_the_action_has(stack: Stack) -> None:
    workflow = yaml.safe_load(stack.outputs["workflow"])
    known = set(yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["inputs"])
    uses = [step for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    steps = [step for step in uses if "ecs-gpu-deploy" in step["uses"]]
    assert {name for step in steps for name in step["with"]} <= known
    assert [step["with"]["command"] for step in steps] == ["push", "deploy", "register", "deploy", "rollback"]
    assert "curl" not in stack.outputs["workflow"]
    assert "jq" not in stack.outputs["workflow"]


def test_people_are_told(stack: Stack) -> None:
    """Each alarm and each rule reaches the topic, and the topic lets those two services in."""
    topic = stack.outputs["alerts_topic_arn"]
    with stack.sandbox.client("cloudwatch") as cloudwatch, stack.sandbox.client("events") as events:
        alarms = {one["AlarmName"]: one for one in cloudwatch.describe_alarms()["MetricAlarms"]}
        targets = {
            rule["Name"].removeprefix("ki-rag-api-"): {
                target["Arn"] for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
            }
            for rule in events.list_rules(NamePrefix="ki-rag-api-")["Rules"]
        }
    told = {name.removeprefix("ki-rag-api-") for name, one in alarms.items() if topic in one["AlarmActions"]}
    assert told == {"server-errors", "load-balancer-errors", "batch-dead-letters", "batch-errors"}
    assert {name for name, arns in targets.items() if arns == {topic}} == {
        "batch-failed",
        "batch-rolled-back",
        "batch-stopped",
        "deployment-failed",
    }
    with stack.sandbox.client("sns") as sns:
        attributes = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
        subscribed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    [statement] = json.loads(attributes["Policy"])["Statement"]
    assert statement["Principal"]["Service"] == ["cloudwatch.amazonaws.com", "events.amazonaws.com"]
    assert [one["Endpoint"] for one in subscribed] == ["team@example.com"]


def test_many_uploads_are_one_task_and_what_means_nothing_is_told(stack: Stack) -> None:
    """The way of an upload in model time, with Terraform's own queues, rule, alarms and policies.

    The task is one of the model; what it does with messages, the service's own tests show.
    """
    sandbox, url = stack.sandbox, stack.outputs["queue_url"]
    with sandbox.client("ecs") as ecs, sandbox.client("sqs") as sqs, sandbox.client("cloudwatch") as alarms:

        def tasks() -> tuple[int, int]:
            names = ["ki-rag-api-batch-queue"]
            [service] = ecs.describe_services(cluster="ki-cluster", services=names)["services"]
            return service["desiredCount"], service["runningCount"] + service["pendingCount"]

        def received() -> list[Mapping[str, Any]]:
            answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
            messages: list[Mapping[str, Any]] = answer.get("Messages", [])
            return messages

        assert tasks() == (0, 0)
        with sandbox.client("s3", s3={"addressing_style": "path"}) as s3:
            bucket = stack.outputs["documents_bucket"]
            for number in range(120):
                s3.put_object(Bucket=bucket, Key=f"documents/{number}.txt", Body=b"-")
            s3.put_object(Bucket=bucket, Key="index/part", Body=b"-")
        most = [(sandbox.advance(60), tasks())[1] for _ in range(20)]
        assert max(most) == (1, 1), "120 documents wait for one task"
        held: list[Mapping[str, Any]] = []
        while messages := received():
            held += messages
        assert len(held) == 120
        sandbox.advance(1800)
        assert tasks() == (1, 1), "held messages keep their task"
        for message in held:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        sandbox.advance(1200)
        assert tasks() == (0, 0)
        sqs.send_message(QueueUrl=url, MessageBody="no JSON")
        for _ in range(6):
            sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)
        sandbox.advance(120)
        [alarm] = alarms.describe_alarms(AlarmNames=["ki-rag-api-batch-dead-letters"])["MetricAlarms"]
        assert alarm["StateValue"] == "ALARM"
        sandbox.advance(24 * 3600)
        assert [json.loads(one["Body"]) for one in received()] == [{"ingest": "schedule"}]


def test_actionlint_and_zizmor_find_nothing_in_the_printed_workflow(stack: Stack, tmp_path: Path) -> None:
    pinned = stack.outputs["workflow"].replace("org/ecs-gpu-deploy@v1", f"org/ecs-gpu-deploy@{'0' * 40}")
    file = tmp_path / ".github/workflows/deploy.yml"
    file.parent.mkdir(parents=True)
    file.write_text(pinned, encoding="utf-8")
    lint = ["node", str(ROOT / "tests/contract/action/lint_workflows.mjs"), str(file)]
    linted = subprocess.run(lint, capture_output=True, text=True, check=True)
    # The linter is older than the labels of today's runners.
    assert [one for one in json.loads(linted.stdout) if one["kind"] != "runner-label"] == []
    zizmor = [str(Path(sys.executable).with_name("zizmor")), "--offline", "--no-progress", "--format=plain"]
    audited = subprocess.run([*zizmor, str(file)], capture_output=True, text=True, check=False)
    assert audited.returncode == 0, audited.stdout


def test_each_step_of_the_printed_workflow_gives_only_inputs_of_its_command(stack: Stack) -> None:
    jobs = yaml.safe_load(stack.outputs["workflow"])["jobs"].values()
    steps = [step["with"] for job in jobs for step in job["steps"] if "command" in step.get("with", {})]
    assert [step["command"] for step in steps] == ["push", "deploy", "register", "deploy", "rollback"]
    for step in steps:
        given = {name: str(value) for name, value in step.items() if "${{" not in str(value)}
        settings_from(given.pop("command"), inputs=given)


def wishing(stack: Stack, **wishes: str) -> Workspace:
    """Return the workspace with further variables, and with the AWS CLI beside it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {f"TF_VAR_{name}": value for name, value in wishes.items()}
    environment = {
        **clean_environment(stack.sandbox),
        **stack.workspace.environment,
        **variables,
        "PATH": path,
    }
    return replace(stack.workspace, environment=environment)


def test_a_change_takes_effect_with_the_image_that_was_deployed(stack: Stack, tmp_path: Path) -> None:
    """Another size, command and AMI: with the next deployment, the next run of the ingest, new instances."""
    wishing(stack, **CHANGED).apply()
    with stack.sandbox.client("ecs") as ecs:

        def newest(family: str) -> Mapping[str, Any]:
            shown = ecs.describe_task_definition(taskDefinition=family)["taskDefinition"]
            container: Mapping[str, Any] = shown["containerDefinitions"][0]
            return container

        ingesting = newest(stack.outputs["batch_family"])
        assert (ingesting["memory"], ingesting["command"][:3]) == (7168, ["python", "-m", "another"])
        assert ingesting["image"] == f"{REPOSITORY}:{INGEST}"
        [service] = ecs.describe_services(cluster="ki-cluster", services=["ki-rag-api"])["services"]
        assert service["taskDefinition"] == stack.results["rollback"]["task_definition_arn"]
        deployment = run(
            stack.sandbox,
            tmp_path,
            "deploy",
            deployed(stack.outputs["inputs"]),
            image=f"{REPOSITORY}:{SECOND}",
        )
        assert deployment["outcome"] == "succeeded", deployment["shown"]
        [service] = ecs.describe_services(cluster="ki-cluster", services=["ki-rag-api"])["services"]
        serving = newest(service["taskDefinition"])
        assert (serving["memory"], serving["image"].partition("@")[0]) == (7168, f"{REPOSITORY}:{SECOND}")
    with stack.sandbox.client("autoscaling") as scaling:
        shown = scaling.describe_instance_refreshes(AutoScalingGroupName="ki-rag-api-gpu")
    [refresh] = shown["InstanceRefreshes"]
    assert refresh["Preferences"]["ScaleInProtectedInstances"] == "Refresh"


def test_what_the_provider_lacks_is_set_with_the_aws_cli(stack: Stack) -> None:
    """Blue/green and the breaker's threshold, by UpdateService; the plan after it is empty."""
    lacking = {"deployment_strategy": "BLUE_GREEN", "spare_gpus": "2", "breaker_failures": "2"}
    asked = wishing(stack, **CHANGED, **lacking, deregister_revisions="true", session_manager="true")
    asked.apply()
    with stack.sandbox.client("ecs") as ecs:
        service = ecs.describe_services(cluster="ki-cluster", services=["ki-rag-api"])["services"][0]
    configuration = service["deploymentConfiguration"]
    assert configuration["strategy"] == "BLUE_GREEN"
    assert configuration["deploymentCircuitBreaker"]["thresholdConfiguration"] == {
        "type": "COUNT",
        "value": 2,
    }
    plan = asked.plan()
    assert plan.exit_code == 0, plan.shown
    granted = json.dumps(asked.outputs()["policies"]["deploy"])
    assert {action for action in CLEANING_UP if f'"{action}"' not in granted} == set()


def test_destroy_leaves_nothing(stack: Stack) -> None:
    with time_passes(stack.sandbox):
        ran = stack.workspace.run("destroy", "-no-color", "-auto-approve", "-input=false")
    assert ran.exit_code == 0, ran.shown[-6000:]
    assert stack.workspace.run("state", "list").shown == ""
