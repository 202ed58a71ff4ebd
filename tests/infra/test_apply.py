"""Apply, deploy, roll back, plan and destroy on the sandbox, each with only the permissions of its role."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from iam_judge import verdicts
from iam_requests import ACCOUNT, IamRequest, iam_requests
from prerequisites import needs_terraform
from terraform_run import ROOT, Workspace

from sandbox_process import RunningSandbox, clean_environment, sandbox_process

pytestmark = needs_terraform

REPOSITORY = f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com/ki-rag-api"
FIRST, SECOND, BROKEN = ("1" * 40, "2" * 40, "b" * 40)
SPEED = "120"
BATCH_INPUTS = ("region", "cluster", "role-to-assume", "role-duration", "timeout")
TERRAFORMS_OWN = {"ecr:CreateRepository", "ecr:PutLifecyclePolicy"}
"""What the program does where there is no repository yet (create-repository): here Terraform made it."""
CLEANING_UP = {
    "ecs:DeregisterTaskDefinition",
    "ecs:ListClusters",
    "events:ListRuleNamesByTarget",
    "events:ListTargetsByRule",
    "scheduler:GetSchedule",
    "scheduler:ListSchedules",
}
"""What keep-revisions calls; granted with deregister_revisions only."""
OIDC_PROVIDER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The applied stack, and what each step said."""

    workspace: Workspace
    sandbox: RunningSandbox
    outputs: Mapping[str, Any]
    seconds_of_plan: float
    second_plan: tuple[int, str]
    results: Mapping[str, Mapping[str, Any]]
    plan_after_deployments: tuple[int, str]
    calls: Mapping[str, tuple[Mapping[str, Any], ...]]
    """Recorded calls by role: deploy (with run-task), rollback, plan (here history)."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Apply once, deploy two good versions and a bad one, roll back; destroy at the end."""
    world = {"github": {"repository": "octo-org/octo-repo"}}
    folder = tmp_path_factory.mktemp("stack")
    with sandbox_process(world, speed=SPEED, folder=folder) as sandbox:
        # The world's identity provider makes way for Terraform's: an account has one.
        with sandbox.client("iam") as iam:
            iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=OIDC_PROVIDER)
        workspace = Workspace.copied(
            tmp_path_factory.mktemp("terraform"),
            endpoint=sandbox.endpoint,
            github_repository="octo-org/octo-repo",
            allow_plain_http="true",
            deletion_protection="false",
        )
        began = time.monotonic()
        assert workspace.plan().exit_code == 2
        seconds_of_plan = time.monotonic() - began
        workspace.apply()
        second = workspace.plan()
        outputs = workspace.outputs()
        sandbox.add(instances_and_images())
        results = {}
        for name, image in (("first", FIRST), ("second", SECOND), ("broken", BROKEN)):
            results[name] = run(
                sandbox, folder, "deploy", outputs["inputs"], image=f"{REPOSITORY}:{image}", ongoing="wait"
            )
        rolling_back = {
            **{
                key: outputs["inputs"][key]
                for key in ("region", "cluster", "service", "role-duration", "timeout")
            },
            "role-to-assume": outputs["role_arns"]["rollback"],
        }
        results["rollback"] = run(sandbox, folder, "rollback", rolling_back, to="previous")
        reading = rolling_back | {"role-to-assume": outputs["role_arns"]["plan"], "role-duration": "1h"}
        results["history"] = run(
            sandbox, folder, "history", {key: value for key, value in reading.items() if key != "timeout"}
        )
        batch = {key: value for key, value in outputs["inputs"].items() if key in BATCH_INPUTS}
        batch["task-definition"] = outputs["batch_family"]
        results["batch"] = run(sandbox, folder, "run-task", batch)
        after = workspace.plan()
        yield Stack(
            workspace=workspace,
            sandbox=sandbox,
            outputs=outputs,
            seconds_of_plan=seconds_of_plan,
            second_plan=(second.exit_code, second.shown),
            results=results,
            plan_after_deployments=(after.exit_code, after.shown),
            calls={role: calls_of(sandbox, role) for role in ("deploy", "rollback", "plan")},
        )


def instances_and_images() -> dict[str, Any]:
    """Return what AWS would have brought: the group's instances, and images that were pushed."""
    return {
        "instances": [
            {"type": "g5.xlarge", "count": 3, "cluster": "ki-cluster", "capacity_provider": "ki-cluster-gpu"}
        ],
        "images": [
            {"image": "ki-rag-api:bootstrap", "exit_code": 0, "exit_after": 30, "logs": ["3 documents"]},
            {"image": f"ki-rag-api:{FIRST}", "load_seconds": 95},
            {"image": f"ki-rag-api:{SECOND}", "load_seconds": 95},
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
    sandbox: RunningSandbox, folder: Path, command: str, inputs: Mapping[str, Any], **more: str
) -> Mapping[str, Any]:
    """Run the program with Terraform's outputs as its inputs and GitHub's token as its only credential."""
    result_file = folder / f"{command}-{len(list(folder.iterdir()))}.json"
    kept = {key: value for key, value in inputs.items() if key not in ("repository", "cache-image")}
    flags = [f"--{name}={value}" for name, value in {**kept, **more}.items()]
    environment = {
        name: value
        for name, value in clean_environment(sandbox).items()
        if name not in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    }
    ran = subprocess.run(
        [sys.executable, "-m", "ecs_gpu_deploy", command, *flags, "--result-file", str(result_file)],
        cwd=folder,
        env=environment | dict(sandbox.announcement["github_environment"]),
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
    return {request for call in stack.calls[role] for request in iam_requests(call)}


def test_plan_of_the_whole_stack_takes_less_than_a_minute(stack: Stack) -> None:
    assert stack.seconds_of_plan < 60


def test_second_plan_after_apply_is_empty(stack: Stack) -> None:
    assert stack.second_plan[0] == 0, stack.second_plan[1]


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
    assert stack.plan_after_deployments[0] == 0, stack.plan_after_deployments[1]


def test_batch_task_runs_to_its_end_and_history_is_read(stack: Stack) -> None:
    assert stack.results["batch"]["outcome"] == "succeeded", stack.results["batch"]["shown"]
    assert stack.results["history"]["exit_code"] == 0, stack.results["history"]["shown"]


@pytest.mark.parametrize("role", ["deploy", "rollback", "plan"])
def test_every_recorded_call_is_allowed_by_the_roles_policy(stack: Stack, role: str) -> None:
    requests = decisions(stack, role)
    assert any(request.action == "ecs:DescribeServices" for request in requests)
    answers = verdicts(
        requests,
        principal=stack.outputs["role_arns"][role],
        policies=stack.outputs["policies"][role]["permissions"],
    )
    assert {request: verdict for request, verdict in answers.items() if verdict != "Allowed"} == {}


@pytest.mark.parametrize(
    ("command", "role"),
    [
        ("deploy", "deploy"),
        ("push", "deploy"),
        ("run-task", "deploy"),
        ("rollback", "rollback"),
        ("watch", "rollback"),
        ("watch", "plan"),
        ("history", "plan"),
    ],
)
def test_every_action_of_docs_permissions_is_granted_to_the_commands_role(
    stack: Stack, command: str, role: str
) -> None:
    recorded = json.loads((ROOT / "docs/permissions.json").read_text(encoding="utf-8"))
    granted = {
        action
        for policy in stack.outputs["policies"][role]["permissions"]
        for statement in policy["Statement"]
        for action in statement["Action"]
    }
    assert set(recorded[command]) - granted <= TERRAFORMS_OWN | CLEANING_UP


ELSEWHERE = [
    pytest.param("/ki-cluster", "/other-cluster", ("ecs:",), id="another cluster"),
    pytest.param("ki-cluster/ki-rag-api", "ki-cluster/other", ("ecs:",), id="another service"),
    pytest.param("repository/ki-rag-api", "repository/other", ("ecr:",), id="another repository"),
    pytest.param("task-definition/ki-rag-api", "task-definition/other", ("ecs:",), id="another family"),
    pytest.param("role/ki-rag-api", "role/admin", ("iam:",), id="another role"),
    pytest.param("log-group:/ecs/ki-rag-api", "log-group:/ecs/other", ("logs:",), id="another log group"),
    pytest.param("ecs-tasks.amazonaws.com", "lambda.amazonaws.com", ("iam:",), id="a role for Lambda"),
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
    answers = verdicts(
        moved,
        principal=stack.outputs["role_arns"][role],
        policies=stack.outputs["policies"][role]["permissions"],
    )
    assert {request for request, verdict in answers.items() if verdict == "Allowed"} == set()


@pytest.mark.parametrize(
    "action",
    ["ecs:UpdateService", "ecs:RegisterTaskDefinition", "ecs:StopServiceDeployment", "iam:PassRole"],
)
def test_the_plan_role_changes_nothing(stack: Stack, action: str) -> None:
    requests = {
        request
        for request in decisions(stack, "deploy") | decisions(stack, "rollback")
        if request.action == action
    } or {IamRequest(action=action, resource="*")}
    answers = verdicts(
        requests,
        principal=stack.outputs["role_arns"]["plan"],
        policies=stack.outputs["policies"]["plan"]["permissions"],
    )
    assert set(answers.values()) == {"ImplicitlyDenied"}


@pytest.mark.parametrize(
    ("claims", "admitted"),
    [
        pytest.param({}, True, id="the branch main of the repository"),
        pytest.param({"sub": "repo:octo-org/octo-repo:ref:refs/heads/feature"}, False, id="another branch"),
        pytest.param({"sub": "repo:octo-org/octo-repo:pull_request"}, False, id="a pull request"),
        pytest.param({"sub": "repo:octo-org/octo-repo:environment:prod"}, False, id="an environment"),
        pytest.param({"sub": "repo:octo-org/other:ref:refs/heads/main"}, False, id="another repository"),
        pytest.param({"sub": "repo:Octo-Org/octo-repo:ref:refs/heads/main"}, False, id="another spelling"),
        pytest.param({"aud": "https://github.com/octo-org"}, False, id="another audience"),
    ],
)
def test_only_the_named_branch_may_assume_the_deploy_role(
    stack: Stack, claims: Mapping[str, str], admitted: bool
) -> None:
    condition = stack.outputs["policies"]["deploy"]["trust"]["Statement"][0]["Condition"]
    assert set(condition) == {"StringEquals"}
    host = "token.actions.githubusercontent.com"
    token = {"aud": "sts.amazonaws.com", "sub": "repo:octo-org/octo-repo:ref:refs/heads/main", **claims}
    wanted = condition["StringEquals"]
    accepted = token["aud"] == wanted[f"{host}:aud"] and token["sub"] in wanted[f"{host}:sub"]
    assert accepted is admitted


def test_a_token_of_another_branch_is_refused_by_sts(stack: Stack, tmp_path: Path) -> None:
    world = {"github": {"ref": "refs/heads/feature"}, "clusters": ["ki-cluster"]}
    trust = stack.outputs["policies"]["deploy"]["trust"]
    role = {"name": "ki-rag-api-deploy", "trust": trust}
    with sandbox_process({**world, "roles": [role]}, folder=tmp_path) as sandbox:
        result = run(sandbox, tmp_path, "deploy", stack.outputs["inputs"], image=f"{REPOSITORY}:{FIRST}")
    assert (result["exit_code"], result["outcome"]) == (3, "refused")


def test_the_printed_workflow_names_inputs_that_the_action_has(stack: Stack) -> None:
    import yaml

    workflow = yaml.safe_load(stack.outputs["workflow"])
    known = set(yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["inputs"])
    uses = [step for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    steps = [step for step in uses if "ecs-gpu-deploy" in step["uses"]]
    assert len(steps) == 3
    assert {name for step in steps for name in step["with"]} <= known


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


def test_what_the_provider_lacks_is_set_with_the_aws_cli(stack: Stack) -> None:
    """Blue/green and the breaker's threshold, by UpdateService; the plan after it is empty."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    wishes = {"deployment_strategy": "BLUE_GREEN", "spare_gpus": "2", "breaker_failures": "2"}
    wishes["deregister_revisions"] = "true"
    asked = replace(
        stack.workspace,
        environment={
            **clean_environment(stack.sandbox),
            **stack.workspace.environment,
            **{f"TF_VAR_{name}": value for name, value in wishes.items()},
            "PATH": path,
        },
    )
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
    ran = stack.workspace.run("destroy", "-no-color", "-auto-approve", "-input=false")
    assert ran.exit_code == 0, ran.shown[-6000:]
    assert stack.workspace.run("state", "list").shown == ""
