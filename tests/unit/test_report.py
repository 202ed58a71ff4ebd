"""The result in its three forms, as golden text."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ecs_gpu_deploy.core.definition.diff import Change
from ecs_gpu_deploy.core.definition.provenance import Provenance
from ecs_gpu_deploy.core.judge.phases import PhaseName
from ecs_gpu_deploy.core.judge.stays import Stay
from ecs_gpu_deploy.core.show.console import TaskPages
from ecs_gpu_deploy.core.show.progress import TaskGpus
from ecs_gpu_deploy.core.show.report import (
    Details,
    annotation,
    log_blocks,
    outputs,
    result_json,
    text_view,
)
from ecs_gpu_deploy.core.show.summary import markdown_view
from ecs_gpu_deploy.model import LogTail
from ecs_gpu_deploy.result import (
    ContainerEnd,
    Diagnosis,
    Finding,
    Judgement,
    NextStep,
    Outcome,
    Phase,
    Result,
    Severity,
    TaskEnd,
)

GOLDEN = Path(__file__).parent / "golden"
AT = 1_790_000_000.0

RESULT = Result(
    command="deploy",
    outcome=Outcome.ROLLED_BACK,
    exit_code=5,
    reason="AWS rolled the service back to rag:7: the circuit breaker threshold was exceeded.",
    cluster="ki",
    service="rag",
    image="repo/rag:bad",
    image_digest="sha256:abc",
    task_definition_arn="arn:aws:ecs:eu-central-1:123456789012:task-definition/rag:8",
    previous_task_definition_arn="arn:aws:ecs:eu-central-1:123456789012:task-definition/rag:7",
    service_deployment_arn="arn:aws:ecs:eu-central-1:123456789012:service-deployment/ki/rag/x",
    diagnoses=(
        Diagnosis(
            code="cuda-out-of-memory",
            message="3 tasks: the model does not fit.",
            hint="Take a larger GPU.",
            evidence=("torch.OutOfMemoryError: CUDA <b>``` ::error::x",),
            tasks=("t1", "t2", "t3"),
        ),
    ),
    findings=(Finding(code="cannot-see", severity=Severity.WARNING, message="No logs.", hint="Allow them."),),
    phases=(Phase(name="placement", seconds=5, deadline=900), Phase(name="load", seconds=400, deadline=360)),
    duration_seconds=405.4567,
    api_calls={"ecs.UpdateService": 1, "ecs.DescribeServices": 4},
)
DETAILS = Details(
    changes=(
        Change(path="containerDefinitions[rag].image", old="repo/rag:v1", new="repo/rag:bad"),
        Change(path="containerDefinitions[rag].environment[TOKEN]", old="***", new="***", masked=True),
    ),
    links={"Deployments": "https://example.com/d", "Tasks": "https://example.com/t"},
    next_command="ecs-gpu-deploy watch --cluster ki --service rag",
    stays=(
        Stay(name=PhaseName.PLACEMENT, began_at=AT, ended_at=AT + 5),
        Stay(name=PhaseName.LOAD, began_at=AT + 5, ended_at=AT + 405),
    ),
    gpus=(
        TaskGpus(
            task_id="fedcba9876543210", gpus=1, placed_at=AT + 5, stopped_at=AT + 125, ran=110, failed=True
        ),
        TaskGpus(task_id="0123456789abcdef:#;", gpus=2, placed_at=AT + 130),
        TaskGpus(task_id="old", gpus=4, placed_at=AT - 9000, ours=False),
    ),
    ended_at=AT + 405,
    gpu_hourly_cost=2.5,
    log_tails=(
        LogTail(
            task_id="fedcba9876543210",
            container="rag",
            lines=(
                "\x1b[31mTraceback\x1b[0m",
                "```",
                "</details><script>x</script> ##[error]y",
                "::error::z",
            ),
        ),
        LogTail(task_id="0123456789abcdef", container="rag", problem="no log group"),
    ),
)


CONTRACT = [
    "schema",
    "command",
    "outcome",
    "exit_code",
    "reason",
    "cluster",
    "service",
    "image",
    "image_digest",
    "task_definition_arn",
    "previous_task_definition_arn",
    "service_deployment_arn",
    "codedeploy_deployment_id",
    "diagnoses",
    "findings",
    "phases",
    "duration_seconds",
    "api_calls",
    "services",
    "tasks",
    "history",
]


def test_the_json_carries_every_member_of_the_contract():
    document = json.loads(result_json(RESULT))
    assert [name for name in document if name in CONTRACT] == CONTRACT
    assert document["schema"] == 1
    assert document["outcome"] == "rolled_back"
    assert document["diagnoses"][0] == {
        "code": "cuda-out-of-memory",
        "message": "3 tasks: the model does not fit.",
        "hint": "Take a larger GPU.",
        "evidence": ["torch.OutOfMemoryError: CUDA <b>``` ::error::x"],
        "tasks": ["t1", "t2", "t3"],
    }
    assert document["findings"][0]["severity"] == "warning"
    assert document["phases"][1] == {"name": "load", "seconds": 400, "deadline": 360}
    assert document["duration_seconds"] == 405.457


def test_the_json_and_the_outputs_can_be_written_whatever_aws_sent():
    odd = replace(RESULT, reason="half a pair \ud83d")
    assert json.loads(result_json(odd).encode())["reason"] == "half a pair ?"
    assert outputs(odd)["reason"].encode() == b"half a pair ?"


def test_outputs_are_texts_in_kebab_case():
    values = outputs(RESULT)
    assert values["exit-code"] == "5"
    assert values["outcome"] == "rolled_back"
    assert json.loads(values["api-calls"]) == {"ecs.DescribeServices": 4, "ecs.UpdateService": 1}
    assert all(isinstance(value, str) for value in values.values())


def test_the_text_view_ends_a_log():
    assert text_view(RESULT, DETAILS) == (
        "rolled_back — AWS rolled the service back to rag:7: the circuit breaker threshold was exceeded. "
        "(exit 5)\n"
        "cause: cuda-out-of-memory — 3 tasks: the model does not fit.\n"
        "  | torch.OutOfMemoryError: CUDA <b>``` ::error::x\n"
        "  → Take a larger GPU.\n"
        "warning: No logs.\n"
        "  → Allow them.\n"
        "phases: placement 5s · load 6m40s\n"
        "GPU time: 11.2 GPU-minutes held, all wasted (at 2.5 per GPU-hour: 0.47 spent, 0.47 wasted)\n"
        "next: ecs-gpu-deploy watch --cluster ki --service rag\n"
    )


def test_the_log_tails_are_shown_as_text_with_their_task():
    assert log_blocks(DETAILS) == (
        (
            "last log lines of task fedcba98, container rag",
            "Traceback\n```\n</details><script>x</script> ##[error]y\n::error::z",
        ),
    )


def test_where_no_log_could_be_read_it_is_said_why():
    tails = [LogTail(task_id=task, container="rag", problem="the permission is missing") for task in "ab"]
    details = Details(log_tails=tails)
    assert "no log lines of rag: the permission is missing\n" in text_view(RESULT, details)
    assert markdown_view(RESULT, details).count("- ℹ️ No log lines of rag: the permission is missing\n") == 1


def test_one_annotation_names_the_cause_and_the_knob():
    level, title, message = annotation(RESULT)
    assert (level, title) == ("error", "Rolled back: rag")
    assert "cuda-out-of-memory" in message
    assert "Take a larger GPU." in message


def test_what_goes_on_comes_with_commands_to_paste():
    still = Finding(
        code="still-running",
        severity=Severity.WARNING,
        message="The deployment goes on in AWS.",
        hint="To go on watching: ecs-gpu-deploy watch --x\nTo roll it back: aws ecs stop --y",
        next_steps=(
            NextStep(purpose="To go on watching", command="ecs-gpu-deploy watch --x"),
            NextStep(purpose="To roll it back", command="aws ecs stop --y"),
        ),
    )
    shown = markdown_view(replace(RESULT, findings=(still,)), Details(next_command="aws ecs stop --y"))
    assert (
        "### What now\n\n"
        "The deployment goes on in AWS.\n\n"
        "```sh\n"
        "# To go on watching\n"
        "ecs-gpu-deploy watch --x\n"
        "# To roll it back\n"
        "aws ecs stop --y\n"
        "```\n"
    ) in shown
    assert "Also seen" not in shown


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ((), "| `repo/rag:bad` |  |"),
        ((Change(path="cpu", old="1", new="2"),), "| `repo/rag:bad` | `repo/rag:bad` |"),
        (
            (
                Change(
                    path="containerDefinitions[rag].image", old="1.dkr.ecr/x/rag@sha256:" + "a" * 64, new="z"
                ),
            ),
            "| `repo/rag:bad` | `rag@sha256:aaaaaaaaaaaa` |",
        ),
        (
            (
                Change(path="containerDefinitions[a].image", old="a:1", new="a:2"),
                Change(path="containerDefinitions[b].image", old="b:1", new="b:2"),
            ),
            "| `repo/rag:bad` |  |",
        ),
    ],
    ids=[
        "nobody compared",
        "no image changed",
        "one image changed, by digest",
        "which is whose is not known",
    ],
)
def test_the_image_before_is_said_where_it_is_known(changes, shown):
    assert f"| Image {shown}\n" in markdown_view(RESULT, Details(changes=changes))


@pytest.mark.parametrize(
    ("origin", "shown"),
    [
        (
            Provenance(commit="x`](y) <b>", actor="@team <img>", run="https://h/a/b/actions/runs/1)](z)"),
            "Commit ``x`](y) <b>`` · by \\@<!-- -->team &lt;img&gt; "
            "· [run 1\\)\\]\\(z\\)](<https://h/a/b/actions/runs/1)](z)>)",
        ),
        (
            Provenance(commit="abc", run="http://jenkins/job/1"),
            "Commit `abc` · [its run](<http://jenkins/job/1>)",
        ),
        (Provenance(actor="maria", run="javascript:x"), "By maria"),
        (Provenance(run="https://h/>x"), "Took 6m45s"),
    ],
    ids=["nothing of it is markup", "of another CI", "no web address", "an address that cannot be one"],
)
def test_who_asked_is_told_and_cannot_leave_its_line(origin, shown):
    lines = markdown_view(RESULT, Details(origin=origin)).splitlines()
    assert any(line.startswith(shown) for line in lines), lines


SUCCESS = replace(
    RESULT, outcome=Outcome.SUCCEEDED, exit_code=0, reason="2 tasks run.", diagnoses=(), findings=()
)
HOSTILE = "</td><img src=x> `x` | [a](http://b) @team\n## x ::error::y \x1b[2J"
INVALID = replace(
    RESULT,
    outcome=Outcome.INVALID,
    exit_code=2,
    reason=HOSTILE,
    cluster=HOSTILE,
    service=HOSTILE,
    diagnoses=(Diagnosis(code="unknown", message=HOSTILE, hint=HOSTILE, evidence=(HOSTILE, "`````")),),
    findings=(
        Finding(code="unknown", severity=Severity.ERROR, message=HOSTILE, hint=HOSTILE, is_reason=True),
    ),
)


ORIGIN = Provenance(
    commit="5f0c2d7e91b34a68",
    actor="mar_ia",
    run="https://github.com/acme/rag/actions/runs/42",
)
TASK = "arn:aws:ecs:eu-central-1:123456789012:task/ki/0908144fffff"
BATCH = replace(
    RESULT,
    command="run-task",
    outcome=Outcome.FAILED,
    exit_code=7,
    reason="1 of 2 tasks failed: container rag exited with 1.",
    service="",
    previous_task_definition_arn="",
    diagnoses=(Diagnosis(code="container-exit", message="container rag exited with 1.", hint="Look."),),
    findings=(),
    tasks=(
        TaskEnd(
            task_arn=TASK,
            judgement=Judgement.FAILED,
            started_at=AT,
            stopped_at=AT + 41,
            containers=(
                ContainerEnd(name="rag", exit_code=1, judgement=Judgement.FAILED),
                ContainerEnd(name="log|router", exit_code=None, judgement=Judgement.UNKNOWN),
            ),
        ),
        TaskEnd(task_arn=f"{TASK}2", judgement=Judgement.SUCCEEDED),
    ),
)
PAGES = {TASK: TaskPages(page="https://example.com/t", logs={"rag": "https://example.com/l"})}


@pytest.mark.parametrize(
    ("file", "result", "details"),
    [
        ("rolled-back.md", RESULT, replace(DETAILS, origin=ORIGIN)),
        ("batch.md", BATCH, Details(ended_at=AT, origin=ORIGIN, task_pages=PAGES)),
        ("succeeded.md", SUCCESS, Details(changes=DETAILS.changes, ended_at=AT)),
        ("hostile.md", INVALID, Details(ended_at=AT)),
    ],
    ids=[
        "a failure says why first",
        "a batch has its tasks, exit codes and logs, and what the verdict said is not said again",
        "a success is short; phases without times follow each other",
        "nothing from outside is markup",
    ],
)
def test_the_summary(file, result, details):
    assert markdown_view(result, details) == (GOLDEN / file).read_text(encoding="utf-8")
