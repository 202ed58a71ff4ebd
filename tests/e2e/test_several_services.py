"""Several services in one run: what began is followed to its end and told as it is, whatever ends another."""

import json
import signal
from contextlib import contextmanager

import pytest

import program
from ecs_gpu_deploy.sandbox.world.world import World
from forked_program import started
from sandbox_process import clean_environment, sandbox_thread
from worlds import default_world

NAMES = ["plain", "second", "third"]
UPDATES = pytest.mark.parametrize("parallel", ["true", "false"], ids=["together", "one by one"])


def _world():
    world = default_world()
    world["services"] = [
        {
            "serviceName": name,
            "taskDefinition": "ki-rag-api",
            "desiredCount": 1,
            "launchType": "EC2",
            "deploymentConfiguration": {"minimumHealthyPercent": 100, "maximumPercent": 200},
        }
        for name in NAMES
    ]
    world["instances"] = [{"type": "g5.xlarge", "count": 8, "availability_zones": ["a", "b"]}]
    return world


@pytest.fixture
def sandbox():
    with sandbox_thread(World.from_document(_world(), name="several")) as running:
        yield running


def _flags(parallel, *flags, image="good"):
    named = [f"--service={name}" for name in NAMES]
    return [
        *named,
        "--cluster=ki-cluster",
        f"--image={program.image(image)}",
        f"--parallel={parallel}",
        *flags,
    ]


def _deploy(sandbox, folder, parallel, *flags, faults):
    assert sandbox.ask("POST", "faults", faults)[0] == 200
    return program.run(sandbox, folder, "deploy", *_flags(parallel, *flags))


def _ends(result):
    """Return of each service the outcome, and whether its service deployment is named."""
    return {s["service"]: (s["outcome"], bool(s["service_deployment_arn"])) for s in result["services"]}


def _reasons(result):
    return {s["service"]: s["reason"] for s in result["services"]}


REFUSALS = [
    pytest.param(
        {"error": "InvalidParameterException", "message": "No.", "count": 1}, ("invalid", 2), id="refused"
    ),
    pytest.param({"error": "AccessDeniedException", "count": 1}, ("refused", 3), id="denied"),
    pytest.param({"error": "ThrottlingException"}, ("refused", 3), id="throttled to the end"),
    pytest.param({"error": "ServiceNotFoundException", "count": 1}, ("invalid", 2), id="vanished"),
]


@UPDATES
@pytest.mark.parametrize(("fault", "end"), REFUSALS)
def test_a_second_update_that_fails_leaves_the_first_one_followed(sandbox, tmp_path, parallel, fault, end):
    outcome, exit_code = end
    ran = _deploy(sandbox, tmp_path, parallel, faults=[{"operation": "UpdateService", "skip": 1, **fault}])
    ends = {"plain": ("succeeded", True), "second": (outcome, False), "third": ("cancelled", False)}
    assert _ends(ran.result) == ends, ran.shown
    assert ran.exit_code == ran.result["exit_code"] == exit_code, ran.shown
    assert ran.result["reason"].startswith("second: "), ran.shown
    assert ran.result["reason"].endswith("Runs ki-rag-api:2: plain. Not deployed: third.")
    assert _reasons(ran.result)["third"] == "It was not deployed."
    with sandbox.client() as ecs:
        [deployment] = ecs.describe_services(cluster="ki-cluster", services=["plain"])["services"][0][
            "deployments"
        ]
    assert deployment["rolloutState"] == "COMPLETED"


@UPDATES
def test_what_succeeded_goes_back_where_rollback_all_says_so(sandbox, tmp_path, parallel):
    fault = {"operation": "UpdateService", "skip": 1, "count": 1, "error": "AccessDeniedException"}
    ran = _deploy(sandbox, tmp_path, parallel, "--on-failure=rollback-all", faults=[fault])
    assert ran.exit_code == 3, ran.shown
    assert _ends(ran.result)["plain"] == ("rolled_back", True), ran.shown
    assert ran.result["reason"].startswith("second: AWS refused"), ran.shown


def test_together_what_is_not_seen_any_more_is_told_of_each_that_began(sandbox, tmp_path):
    fault = {"operation": "DescribeServices", "error": "AccessDeniedException", "after_seconds": 60}
    ran = _deploy(sandbox, tmp_path, "true", faults=[fault])
    assert ran.exit_code == 3, ran.shown
    assert _ends(ran.result) == dict.fromkeys(NAMES, ("refused", True)), ran.shown
    told = [f["message"] for f in ran.result["findings"] if f["code"] == "still-running"]
    assert [message.partition(":")[0] for message in told] == NAMES, ran.shown
    assert "not deployed" not in json.dumps(ran.result["services"])


def test_one_by_one_the_one_that_is_not_seen_any_more_is_the_last(sandbox, tmp_path):
    fault = {"operation": "DescribeServices", "error": "AccessDeniedException", "after_seconds": 60}
    ran = _deploy(sandbox, tmp_path, "false", faults=[fault])
    ends = {"plain": ("refused", True), "second": ("cancelled", False), "third": ("cancelled", False)}
    assert _ends(ran.result) == ends, ran.shown
    assert ran.exit_code == 3
    assert ran.result["reason"].endswith("Not deployed: second, third.")


def test_together_one_that_vanishes_does_not_end_the_wait_for_the_others(sandbox, tmp_path):
    gone = {"services": [], "failures": [{"reason": "MISSING"}]}
    fault = {
        "operation": "DescribeServices",
        "where": "plain",
        "body": json.dumps(gone),
        "after_seconds": 60,
        "until_seconds": 290,
    }
    ran = _deploy(sandbox, tmp_path, "true", faults=[fault])
    ends = _ends(ran.result)
    assert ends["plain"] == ("failed", True), ran.shown
    assert ends["second"] == ends["third"] == ("succeeded", True), ran.shown
    assert ran.exit_code == 4
    assert ran.result["reason"].startswith("plain: "), ran.shown


def test_the_worst_end_is_the_exit(sandbox, tmp_path):
    fault = {"operation": "UpdateService", "skip": 2, "count": 1, "error": "AccessDeniedException"}
    assert sandbox.ask("POST", "faults", [fault])[0] == 200
    ran = program.run(sandbox, tmp_path, "deploy", *_flags("true", "--timeout=300", image="never-ready"))
    ends = _ends(ran.result)
    assert ends["third"] == ("refused", False), ran.shown
    assert ends["plain"][0] == ends["second"][0] == ran.result["outcome"] == "timed_out", ran.shown
    assert ran.exit_code == 6


@contextmanager
def _cancelled(folder, *flags, once):
    """Give how a deploy ended that was cancelled when it had said *once*, its result, and its sandbox."""
    with sandbox_thread(World.from_document(_world(), name="several"), speed=20.0) as sandbox:
        command = ["deploy", *flags, "--on-cancel=rollback", "--result-file=result.json"]
        with started(command, folder, clean_environment(sandbox)) as process:
            process.wait_until_said(once)
            process.send_signal(signal.SIGINT)
            ended = process.wait(30)
        yield ended, json.loads((folder / "result.json").read_text(encoding="utf-8")), sandbox


@pytest.mark.parametrize(
    ("parallel", "stopped"), [("true", NAMES), ("false", NAMES[:1])], ids=["together", "one by one"]
)
def test_a_cancelled_job_does_what_on_cancel_says_for_all_that_began(tmp_path, parallel, stopped):
    flags = _flags(parallel, image="slow")
    with _cancelled(tmp_path, *flags, once="new 1/1") as (ended, result, sandbox):
        asked = sandbox.calls("StopServiceDeployment")
    assert ended.code == 10, ended.shown
    assert _ends(result) == {name: ("cancelled", name in stopped) for name in NAMES}, ended.shown
    assert len(asked) == len(stopped), ended.shown
    for name, reason in _reasons(result).items():
        assert ("roll" in reason) == (name in stopped), reason


def test_what_was_done_when_the_job_was_cancelled_goes_back_too(tmp_path):
    flags = _flags("false", image="good")
    with _cancelled(tmp_path, *flags, once="second: is being updated") as (ended, result, sandbox):
        updates = sandbox.calls("UpdateService")
    assert ended.code == 10, ended.shown
    assert [end for end, _ in _ends(result).values()] == ["cancelled"] * 3, ended.shown
    assert "told to run ki-rag-api:1 again" in _reasons(result)["plain"]
    assert updates[-1]["parameters"]["service"] == "plain"
