"""Batch tasks: tokens, refusals, the judgement over every container, and the verdict over all of them."""

from dataclasses import replace
from pathlib import Path

import pytest

from ecs_gpu_deploy.core.capacity.compute import Compute, ComputeKind
from ecs_gpu_deploy.core.capacity.shortage import Answer, Shortage
from ecs_gpu_deploy.core.diagnose.batch_causes import batch_diagnoses, is_explained
from ecs_gpu_deploy.core.judge.batch import (
    BatchHistory,
    BatchLook,
    BatchWatched,
    ends_of,
    judge_batch,
    never_placed,
    observed_batch,
    progress_text,
    verdict_of,
)
from ecs_gpu_deploy.core.judge.batch_phases import batch_seconds
from ecs_gpu_deploy.core.judge.batch_request import (
    Refusal,
    Rounds,
    batch_mark,
    client_token,
    is_lack,
    lacks,
    retry_wait,
)
from ecs_gpu_deploy.core.judge.evidence import VANISHED_SECONDS
from ecs_gpu_deploy.core.judge.pace import seconds_to_next_batch_look
from ecs_gpu_deploy.core.judge.task_end import Stage, exited_non_zero, stage_of, task_end
from ecs_gpu_deploy.core.show.batch_view import end_line
from ecs_gpu_deploy.model import Container, LogTail, Task
from ecs_gpu_deploy.result import Outcome

ONE = {"containerDefinitions": [{"name": "ingest"}]}
TWO = {"containerDefinitions": [{"name": "ingest"}, {"name": "router"}]}
SIDE = {"containerDefinitions": [{"name": "ingest"}, {"name": "router", "essential": False}]}


def _task(*containers, status="STOPPED", code="EssentialContainerExited", reason="", number=0, **rest):
    return Task(
        arn=f"arn:aws:ecs:eu-central-1:123456789012:task/ki/{number}123456789abcdef",
        last_status=status,
        stop_code=code,
        stopped_reason=reason,
        containers=tuple(containers),
        **rest,
    )


def _c(exit_code, reason="", name="ingest"):
    return Container(name=name, exit_code=exit_code, reason=reason)


@pytest.mark.parametrize(
    ("task", "definition", "judgement", "containers", "non_zero"),
    [
        (_task(_c(0)), ONE, "succeeded", ["succeeded"], False),
        (_task(_c(1)), ONE, "failed", ["failed"], True),
        (_task(_c(0), _c(143, name="router")), TWO, "succeeded", ["succeeded", "stopped"], False),
        (_task(_c(0), _c(137, name="router")), TWO, "failed", ["succeeded", "failed"], True),
        (_task(_c(0), _c(137, name="router")), SIDE, "succeeded", ["succeeded", "stopped"], False),
        (_task(_c(0, "OutOfMemoryError: Container killed")), ONE, "failed", ["failed"], False),
        (
            _task(_c(0), _c(137, "OutOfMemoryError: Container killed", name="router")),
            TWO,
            "failed",
            ["succeeded", "failed"],
            True,
        ),
        (_task(_c(1), _c(143, name="router")), TWO, "failed", ["failed", "stopped"], True),
        (_task(_c(143), _c(143, name="router")), TWO, "failed", ["failed", "stopped"], True),
        (_task(_c(None), _c(1, name="router")), SIDE, "failed", ["unknown", "failed"], True),
        (_task(_c(0), _c(2, name="router")), SIDE, "succeeded", ["succeeded", "failed"], False),
        (_task(_c(None, "CannotPull"), code="TaskFailedToStart"), ONE, "failed", ["unknown"], False),
        (_task(_c(143), code="SpotInterruption"), ONE, "failed", ["stopped"], False),
        (_task(_c(0), code="UserInitiated"), ONE, "failed", ["stopped"], False),
        (_task(code="TaskFailedToStart"), ONE, "failed", [], False),
        (_task(_c(None), status="RUNNING", code=""), ONE, "running", [], False),
    ],
    ids=[
        "0 is well",
        "1 is not",
        "a container that ECS stopped after the main one is no failure",
        "an essential one that was killed did not finish, although another one did ",
        "a side container that did not heed SIGTERM is no failure",
        "out of memory is a failure, also with exit code 0 (docs/aws-facts.md#stopped-tasks)",
        "but out of memory is, although it is 137",
        "the one that ended with its own code is the one that failed",
        "where all ended by SIGTERM, one of them was first",
        "a side container whose failure kept the main one from starting",
        "what is not essential does not fail the task",
        "a container that never ran failed without a code",
        "a Spot interruption is no exit code of the program",
        "what somebody stopped is not done, although it ended with 0",
        "no containers at all",
        "a running task is not judged",
    ],
)
def test_every_container_is_judged(task, definition, judgement, containers, non_zero):
    end = task_end(task, definition)
    assert end.judgement == judgement
    assert [container.judgement for container in end.containers] == containers
    assert exited_non_zero([end]) is non_zero


def test_the_verdict_names_the_commonest_causes():
    ends = [task_end(_task(_c(code)), ONE) for code in (0, 3, 3, 1)]
    verdict = verdict_of(ends)
    assert verdict.outcome == Outcome.FAILED
    assert verdict.reason == (
        "3 of 4 tasks failed: container ingest exited with 3 (2 tasks); container ingest exited with 1."
    )
    assert verdict_of(ends[:1]).reason == "The task ended well (exit code 0)."


@pytest.mark.parametrize(
    ("reason", "lack"),
    [
        ("RESOURCE:GPU", True),
        ("RESOURCE:MEMORY", True),
        ("AGENT", True),
        (
            "Capacity is unavailable at this time. Please try again later or in another zone",
            True,
        ),
        ("No Container Instances were found in your cluster.", True),
        ("You've reached the limit on the number of tasks you can run concurrently", True),
        ("The tasks provisioning capacity limit was exceeded.", True),
        ("TaskFailedToStart: AGENT", True),
        ('encountered error "AGENT".', True),
        ("RESOURCE:GPU: nothing is free", True),
        ("InsufficientFreeAddressesInSubnet", True),
        ("is not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/a", False),
        (
            "assumed-role/ecs-agent-deployer/ci is not authorized to perform: ecs:RunTask on resource: *",
            False,
        ),
        ("Insufficient permissions to run the task", False),
        ("ATTRIBUTE", False),
        ("MISSING", False),
        ("INACTIVE", False),
        ("LOCATION", False),
        ("MemberOf placement constraint unsatisfied", False),
    ],
)
def test_a_lack_of_capacity_is_told_from_what_waiting_does_not_cure(reason, lack):
    assert is_lack(reason) is lack


def test_one_full_instance_among_unfit_ones_is_a_lack():
    assert lacks([Refusal(reason="ATTRIBUTE"), Refusal(reason="RESOURCE:GPU")])
    assert not lacks([Refusal(reason="ATTRIBUTE"), Refusal(reason="MISSING")])


@pytest.mark.parametrize(
    ("started", "after"),
    [
        pytest.param(4, Rounds(number=3, tries=0, next_try=7.0), id="all: the next one need not wait"),
        pytest.param(1, Rounds(number=3, tries=1, next_try=105.0), id="some: the wait begins anew"),
        pytest.param(0, Rounds(number=3, tries=3, next_try=120.0), id="none, for the third time"),
    ],
)
def test_the_rounds_of_run_task(started, after):
    rounds = Rounds(number=2, tries=2, next_try=7.0)
    assert rounds.after(wanted=4, started=started, now=100.0) == after


def test_waits_grow_to_a_minute():
    assert [retry_wait(tries) for tries in range(1, 8)] == [5, 10, 20, 40, 60, 60, 60]


def test_tokens_are_the_same_for_the_same_run_and_request_alone():
    request = {"taskDefinition": "a:1", "overrides": {"b": 1}}
    mark = batch_mark(("acme/rag", "77", "1"), request)
    assert mark == batch_mark(("acme/rag", "77", "1"), dict(reversed(request.items())))
    assert mark != batch_mark(("acme/rag", "77", "2"), request)
    assert mark != batch_mark(("acme/rag", "77", "1"), {**request, "taskDefinition": "a:2"})
    tokens = {client_token(mark, r, c) for r in range(100) for c in range(100)}
    assert len(tokens) == 10_000
    assert max(map(len, tokens)) <= 64


@pytest.mark.parametrize(
    ("task", "stage"),
    [
        (_task(status="PROVISIONING"), Stage.PLACEMENT),
        (_task(status="PENDING"), Stage.PLACEMENT),
        (_task(status="PENDING", pull_started_at=1.0), Stage.PULL),
        (_task(status="PENDING", pull_started_at=1.0, pull_stopped_at=2.0), Stage.START),
        (_task(status="RUNNING"), Stage.RUN),
        (_task(status="DEPROVISIONING", started_at=3.0), Stage.RUN),
        (_task(status="STOPPED"), Stage.ENDED),
    ],
)
def test_where_a_task_is(task, stage):
    assert stage_of(task) == stage


def test_a_task_that_a_capacity_provider_never_placed_may_be_started_again():
    assert never_placed(_task(code="TaskFailedToStart", reason="TaskFailedToStart: RESOURCE:GPU"))
    assert not never_placed(_task(code="TaskFailedToStart", reason="CannotPullContainerError: x"))
    assert not never_placed(_task(_c(1), reason="Essential container in task exited"))


NAMED = {"containerDefinitions": [{"name": "server"}, {"name": "ingest", "essential": False}]}


@pytest.mark.parametrize(
    ("named", "overridden", "judgement"),
    [
        ("ingest", (), "failed"),
        ("", ("ingest",), "failed"),
        ("server", (), "succeeded"),
        ("", (), "succeeded"),
    ],
)
def test_the_container_whose_work_was_asked_for_counts_like_an_essential_one(named, overridden, judgement):
    task = replace(_task(_c(0, name="server"), _c(137)), overridden=overridden)
    assert task_end(task, NAMED, named=named).judgement == judgement


@pytest.mark.parametrize(
    ("task", "definition", "reason"),
    [
        pytest.param(_task(_c(0)), ONE, "", id="a success needs no reason"),
        pytest.param(_task(_c(3)), ONE, "container ingest exited with 3", id="the exit code"),
        pytest.param(
            _task(_c(0, "OutOfMemoryError: Container killed.")),
            ONE,
            "container ingest exited with 0 (OutOfMemoryError: Container killed)",
            id="out of memory",
        ),
        pytest.param(
            _task(_c(137), _c(1, name="router")),
            SIDE,
            "container ingest exited with 137",
            id="the essential one",
        ),
        pytest.param(
            _task(_c(143), _c(1, name="router")),
            TWO,
            "container router exited with 1",
            id="the one that ended with a code of its own",
        ),
        pytest.param(
            _task(_c(None), _c(1, name="router")), SIDE, "container router exited with 1", id="a failed init"
        ),
        pytest.param(
            _task(_c(143), code="SpotInterruption", reason="Your Spot Task was interrupted."),
            ONE,
            "Your Spot Task was interrupted",
            id="an interruption",
        ),
        pytest.param(
            _task(_c(None, "DockerTimeoutError: x")), ONE, "DockerTimeoutError: x", id="no exit code at all"
        ),
        pytest.param(_task(), ONE, "it was stopped without a reason", id="nothing is said"),
    ],
)
def test_why_a_task_failed(task, definition, reason):
    assert task_end(task, definition).reason == reason


WATCHED = BatchWatched(definition=ONE, wanted=2, began=1000.0, timeout=3600.0, placement_timeout=300.0)
START = BatchHistory(placed_at=1000.0)
RUNNING = [_task(status="RUNNING", number=n, started_at=1010.0) for n in range(2)]
WAITING = [_task(status="PROVISIONING", code="", number=n) for n in range(2)]
GPU = (Refusal(reason="RESOURCE:GPU"),)
TOO_LARGE = Shortage(
    answer=Answer.IMPOSSIBLE, code="gpu-capacity", note="", message="Too large.", hint="", certain=True
)


def seen(*looks, watched=WATCHED):
    history = START
    for look in looks:
        history = observed_batch(watched, history, look)
    return history


def both(exit_code, at=1100.0):
    return BatchLook(at=at, seen=[_task(_c(exit_code), number=n) for n in range(2)])


def judged(*looks, now, watched=WATCHED):
    verdict = judge_batch(watched, seen(*looks, watched=watched), now)
    return verdict and verdict.outcome


@pytest.mark.parametrize(
    ("looks", "now", "outcome"),
    [
        pytest.param([both(0)], 1100.0, Outcome.SUCCEEDED, id="all ended well"),
        pytest.param([both(1)], 1100.0, Outcome.FAILED, id="all failed"),
        pytest.param([BatchLook(at=1010.0, started=RUNNING)], 4599.9, None, id="they run"),
        pytest.param([BatchLook(at=1010.0, started=RUNNING)], 4600.0, Outcome.TIMED_OUT, id="for too long"),
        pytest.param([BatchLook(at=1000.0, refusals=GPU)], 1299.9, None, id="no room yet"),
        pytest.param(
            [BatchLook(at=1000.0, refusals=GPU)], 1300.0, Outcome.NO_CAPACITY, id="no room for long"
        ),
        pytest.param(
            [BatchLook(at=1000.0, started=RUNNING[:1], refusals=GPU), BatchLook(at=1300.0, seen=RUNNING[:1])],
            1700.0,
            None,
            id="our own task makes room when it ends",
        ),
        pytest.param(
            [BatchLook(at=1000.0, started=WAITING), BatchLook(at=1290.0, seen=WAITING)],
            1300.0,
            Outcome.NO_CAPACITY,
            id="a capacity provider finds no place",
        ),
        pytest.param(
            [BatchLook(at=1000.0, started=WAITING), BatchLook(at=1290.0, blind=True)],
            1300.0,
            None,
            id="no verdict on what was seen before AWS fell silent",
        ),
        pytest.param(
            [BatchLook(at=1000.0, refusals=GPU), BatchLook(at=1000.0, shortage=TOO_LARGE)],
            1000.0,
            Outcome.NO_CAPACITY,
            id="waiting cannot help",
        ),
        pytest.param(
            [BatchLook(at=1000.0, refusals=[Refusal(reason="ATTRIBUTE")])],
            1000.0,
            Outcome.NO_CAPACITY,
            id="what waiting does not cure",
        ),
        pytest.param(
            [BatchLook(at=1000.0, refusals=GPU), BatchLook(at=1200.0, started=RUNNING, refusals=())],
            1600.0,
            None,
            id="room that came",
        ),
    ],
)
def test_the_verdict_over_what_was_seen(looks, now, outcome):
    assert judged(*looks, now=now) == outcome


def test_a_task_that_aws_does_not_know_is_doubted_and_then_called_vanished():
    one = replace(WATCHED, wanted=1)
    arn = RUNNING[0].arn
    gone = [BatchLook(at=at, seen=(), unknown=[arn]) for at in (1020.0, 1020.0 + VANISHED_SECONDS - 1)]
    begin = BatchLook(at=1010.0, started=RUNNING[:1])
    assert judged(begin, *gone, now=1200.0, watched=one) is None
    back = BatchLook(at=1169.5, seen=RUNNING[:1])
    late = BatchLook(at=1020.0 + VANISHED_SECONDS, seen=(), unknown=[arn])
    assert judged(begin, *gone, back, late, now=1200.0, watched=one) is None
    history = seen(begin, *gone, late, watched=one)
    verdict = judge_batch(one, history, late.at)
    assert verdict.outcome == Outcome.FAILED
    assert verdict.reason == (
        "The task vanished: AWS no longer knows it (MISSING), so nobody can say how it ended."
    )
    assert [end.judgement for end in ends_of(one, history)] == ["unknown"]
    assert not exited_non_zero(ends_of(one, history))
    assert end_line(ends_of(one, history)[0]).startswith("task 01234567 unknown: AWS no longer knows it")


def test_silence_teaches_nothing_about_a_task_that_aws_did_not_know():
    one, arn = replace(WATCHED, wanted=1), RUNNING[0].arn
    looks = [
        BatchLook(at=1010.0, started=RUNNING[:1]),
        BatchLook(at=1020.0, seen=(), unknown=[arn]),
        BatchLook(at=1200.0, blind=True),
    ]
    assert judged(*looks, now=1200.0, watched=one) is None
    assert seen(*looks, watched=one).unknown_since == {arn: 1020.0}


def test_what_was_never_placed_is_started_again_and_only_where_it_is_ours():
    gave_up = _task(code="TaskFailedToStart", reason="TaskFailedToStart: RESOURCE:GPU")
    look = BatchLook(at=2800.0, seen=[gave_up])
    history = seen(look)
    assert history.unplaced == (gave_up,)
    assert not history.tasks
    assert lacks(history.refusals)
    watched = replace(WATCHED, restarts=False, wanted=1)
    assert judged(look, now=2800.0, watched=watched) == Outcome.FAILED


def test_the_reason_names_the_compute_that_is_used():
    spot = Compute(kind=ComputeKind.FARGATE, capacity_providers=("FARGATE_SPOT",))
    watched = replace(WATCHED, compute=spot)
    capacity = Refusal(reason="Capacity is unavailable at this time. Please try again later")
    history = seen(BatchLook(at=1000.0, refusals=[capacity]), watched=watched)
    verdict = judge_batch(watched, history, 1300.0)
    (cause,) = batch_diagnoses(watched, history, verdict, ())
    assert (cause.code, cause.message) == (
        "ec2-capacity",
        "Fargate Spot has no spare capacity for the task now.",
    )
    denied = seen(BatchLook(at=1000.0, refusals=[Refusal(reason="LOCATION")]), watched=watched)
    assert (
        judge_batch(watched, denied, 1000.0).reason
        == "AWS can start 2 tasks nowhere on Fargate Spot: LOCATION."
    )


def test_a_batch_that_fails_has_the_causes_of_its_failed_tasks_alone():
    tasks = [_task(_c(0)), _task(_c(1), number=1)]
    history = seen(BatchLook(at=1100.0, seen=tasks))
    verdict = judge_batch(WATCHED, history, 1100.0)
    (cause,) = batch_diagnoses(WATCHED, history, verdict, ())
    assert (cause.code, cause.tasks) == ("container-exit", (tasks[1].id,))
    assert not is_explained([cause])
    tail = LogTail(
        task_id=tasks[1].id, container="ingest", lines=("CUDA out of memory. Tried to allocate 2 GiB",)
    )
    found = batch_diagnoses(WATCHED, history, verdict, [tail])
    assert found[0].code == "cuda-out-of-memory"
    assert is_explained(found)
    assert batch_diagnoses(WATCHED, history, verdict_of(ends_of(WATCHED, history)[:1]), [tail]) == ()


@pytest.mark.parametrize(
    ("tasks", "until", "expected"),
    [
        pytest.param([], 100.0, (100, 0, 0, 0), id="nothing was started"),
        pytest.param([_task(created_at=0.0, pull_started_at=10.0)], 30.0, (10, 20, 0, 0), id="it pulls"),
        pytest.param(
            [_task(pull_started_at=10.0, pull_stopped_at=30.0, started_at=35.0, stopped_at=95.0)],
            95.0,
            (10, 20, 5, 60),
            id="one task, by its own time stamps",
        ),
        pytest.param(
            [_task(number=n, started_at=5.0, stopped_at=165.0) for n in range(6)],
            165.0,
            (5, 0, 0, 160),
            id="six tasks that ran all the time did not wait for a place",
        ),
        pytest.param(
            [_task(started_at=5.0, stopped_at=50.0), _task(number=1, pull_started_at=40.0, started_at=60.0)],
            100.0,
            (5, 10, 0, 85),
            id="while one runs the batch runs; then it pulls",
        ),
        pytest.param(
            [_task(started_at=0.0, stopped_at=20.0), _task(number=1, started_at=50.0, stopped_at=60.0)],
            60.0,
            (30, 0, 0, 30),
            id="between two waves it waits for a place",
        ),
        pytest.param(
            [_task(pull_started_at=-50.0, started_at=-20.0, stopped_at=10.0)],
            10.0,
            (0, 0, 0, 10),
            id="what was before the beginning does not count",
        ),
    ],
)
def test_the_phases_are_those_of_the_tasks(tasks, until, expected):
    seconds = batch_seconds(tasks, began=0.0, until=until)
    assert tuple(seconds.values()) == expected
    assert sum(seconds.values()) == until


@pytest.mark.parametrize(
    ("look", "now", "next_try", "expected"),
    [
        pytest.param(BatchLook(at=1010.0, started=RUNNING), 1010.0, 0.0, 5.0, id="the interval"),
        pytest.param(BatchLook(at=1000.0, refusals=GPU), 1000.0, 1003.0, 3.0, id="the next try"),
        pytest.param(BatchLook(at=1000.0, started=RUNNING), 1000.0, 1003.0, 5.0, id="nothing is to be tried"),
        pytest.param(BatchLook(at=4590.0, started=RUNNING), 4599.0, 0.0, 1.0, id="the timeout"),
        pytest.param(BatchLook(at=4590.0, started=RUNNING), 4599.9, 0.0, 0.2, id="and not without a pause"),
        pytest.param(BatchLook(at=4590.0, started=RUNNING), 4700.0, 0.0, 5.0, id="the timeout has passed"),
        pytest.param(
            BatchLook(at=1000.0, seen=(), unknown=[RUNNING[0].arn]),
            1148.0,
            0.0,
            2.0,
            id="a task has vanished",
        ),
    ],
)
def test_when_a_batch_is_looked_at_next(look, now, next_try, expected):
    history = observed_batch(
        WATCHED, replace(START, tasks={task.arn: task for task in RUNNING[: not look.refusals and 2]}), look
    )
    seconds = seconds_to_next_batch_look(WATCHED, history, now, interval=5.0, next_try=next_try)
    assert seconds == pytest.approx(expected)


def test_progress_counts_what_is_missing_and_where_the_rest_is():
    tasks = [_task(status="RUNNING"), _task(number=1), _task(status="PENDING", number=2)]
    watched = replace(WATCHED, wanted=5)
    history = seen(BatchLook(at=1000.0, started=tasks), watched=watched)
    assert progress_text(watched, history) == "2 tasks not started · placement 1 · run 1 · ended 1 of 5"


def test_the_end_of_a_task_is_one_line():
    ended = _task(_c(1), reason="Essential container in task exited", started_at=5.0, stopped_at=65.0)
    assert end_line(task_end(ended, ONE)) == (
        "task 01234567 failed after 1m (ingest exit 1): Essential container in task exited"
    )
    assert end_line(task_end(_task(_c(0), started_at=5.0, stopped_at=65.0), ONE)) == (
        "task 01234567 succeeded after 1m (ingest exit 0)"
    )
    never = _task(_c(None), code="TaskFailedToStart", reason="CannotPullContainerError: x")
    assert (
        end_line(task_end(never, ONE))
        == "task 01234567 failed (ingest never ran): CannotPullContainerError: x"
    )


def test_a_refusal_is_read_with_its_detail():
    api = {"reason": "RESOURCE:GPU", "detail": "none is free", "arn": "arn:ci/1"}
    assert Refusal.from_api(api) == Refusal(reason="RESOURCE:GPU", detail="none is free", arn="arn:ci/1")
    assert Refusal.from_api({"reason": None}) == Refusal(reason="")


def test_the_mark_of_a_batch_is_short_and_takes_whatever_a_request_holds():
    mark = batch_mark(["run", "1"], {"count": 1, "path": Path("x")})
    assert len(mark) == 40
    assert mark == batch_mark(["run", "1"], {"path": Path("x"), "count": 1})
    assert mark != batch_mark(["run", "2"], {"path": Path("x"), "count": 1})


def said(*looks, now, watched=WATCHED):
    verdict = judge_batch(watched, seen(*looks, watched=watched), now)
    return verdict and (str(verdict.outcome), verdict.ours, verdict.reason)


REFUSED = BatchLook(at=1000.0, refusals=[*GPU, Refusal(reason="AGENT", detail="it is silent"), *GPU])


@pytest.mark.parametrize(
    ("looks", "now", "expected"),
    [
        pytest.param(
            [both(0)],
            1100.0,
            ("succeeded", False, "All 2 tasks ended well (exit code 0)."),
            id="all ended well",
        ),
        pytest.param(
            [REFUSED],
            1300.0,
            (
                "no_capacity",
                True,
                "No place was found for 2 of 2 tasks for 5m (RESOURCE:GPU, AGENT: it is silent).",
            ),
            id="no place for any",
        ),
        pytest.param(
            [replace(REFUSED, started=WAITING[:1])],
            1300.0,
            (
                "no_capacity",
                True,
                "No place was found for 2 of 2 tasks for 5m (RESOURCE:GPU, AGENT: it is silent).",
            ),
            id="nor for one that waits for an instance",
        ),
        pytest.param(
            [BatchLook(at=1000.0, started=WAITING, shortage=TOO_LARGE)],
            1000.0,
            ("no_capacity", True, f"No place was found for 2 of 2 tasks for 0s. {TOO_LARGE.message}"),
            id="there never can be one",
        ),
        pytest.param(
            [replace(REFUSED, started=RUNNING[:1]), BatchLook(at=1020.0, seen=RUNNING[:1])],
            1400.0,
            None,
            id="one runs and gives its place back",
        ),
        pytest.param(
            [BatchLook(at=1000.0, refusals=[Refusal(reason="LOCATION")])],
            1000.0,
            ("no_capacity", True, "AWS can start 2 tasks nowhere in the cluster: LOCATION."),
            id="no instance is fit",
        ),
        pytest.param(
            [BatchLook(at=1000.0, started=RUNNING, refusals=[Refusal(reason="LOCATION")])],
            1100.0,
            None,
            id="both were started, whatever was refused",
        ),
        pytest.param(
            [REFUSED, BatchLook(at=1010.0, refusals=[])],
            1100.0,
            None,
            id="what was refused once is not refused now",
        ),
        pytest.param(
            [BatchLook(at=1010.0, started=RUNNING)],
            4600.0,
            ("timed_out", True, "Not finished after 1h00m: run 2 · ended 0 of 2."),
            id="not finished in time",
        ),
    ],
)
def test_what_is_said_of_a_batch_and_who_says_it(looks, now, expected):
    assert said(*looks, now=now) == expected


def test_an_answer_ends_the_blindness_of_the_look_before():
    blind = BatchLook(at=1010.0, blind=True)
    assert said(REFUSED, blind, now=1300.0) is None
    assert said(REFUSED, blind, BatchLook(at=1020.0), now=1300.0) is None, "nobody asked"
    assert said(REFUSED, blind, BatchLook(at=1020.0, seen=()), now=1300.0)[0] == "no_capacity"


def test_a_place_that_is_held_or_found_restarts_the_wait():
    held = BatchLook(at=1200.0, seen=[replace(RUNNING[0]), WAITING[1]])
    assert seen(replace(REFUSED, started=[RUNNING[0], WAITING[1]]), held).placed_at == 1200.0
    assert seen(REFUSED, BatchLook(at=1200.0, started=WAITING[:1])).placed_at == 1200.0
    assert seen(REFUSED, BatchLook(at=1200.0)).placed_at == 1000.0


def test_the_three_commonest_reasons_are_named():
    reasons = ["a"] * 3 + ["b"] * 2 + ["c", "d"]
    ends = [
        task_end(_task(reason=reason, code="TaskFailedToStart", number=n), ONE)
        for n, reason in enumerate(reasons)
    ]
    assert verdict_of(ends).reason == "7 of 7 tasks failed: a (3 tasks); b (2 tasks); c."


def test_the_container_that_was_named_for_the_batch_decides_in_the_batch():
    watched = replace(WATCHED, definition=NAMED, named="ingest", wanted=1)
    ended = _task(_c(0, name="server"), _c(1))
    [end] = ends_of(watched, seen(BatchLook(at=1100.0, seen=[ended]), watched=watched))
    assert end.judgement == "failed"


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        pytest.param(
            _task(status="RUNNING", started_at=5.0),
            ("running", "", 5.0),
            id="it runs, and since when is known",
        ),
        pytest.param(
            _task(status="MISSING", started_at=5.0),
            ("unknown", "AWS no longer knows it (MISSING), so nobody can say how it ended", 5.0),
            id="AWS has forgotten it",
        ),
        pytest.param(
            _task(_c(None), code="SpotInterruption", reason="Your Spot Task was interrupted."),
            ("failed", "Your Spot Task was interrupted", None),
            id="an interruption before it had an exit code",
        ),
        pytest.param(
            _task(_c(0), _c(None, name="router")),
            ("failed", "it was stopped without a reason", None),
            id="unknown",
        ),
        pytest.param(
            _task(_c(1, "It broke."), reason="Essential container in task exited"),
            ("failed", "container ingest exited with 1 (It broke)", None),
            id="the container says why",
        ),
        pytest.param(
            _task(
                _c(None, "CannotStartContainerError: x."),
                reason="Task failed to start",
                code="TaskFailedToStart",
            ),
            ("failed", "CannotStartContainerError: x", None),
            id="a container that never ran says why",
        ),
    ],
)
def test_how_the_end_of_a_task_is_told(task, expected):
    end = task_end(task, TWO)
    assert (end.task_arn, end.judgement, end.reason, end.started_at) == (task.arn, *expected)


@pytest.mark.parametrize(("status", "stage"), [("DELETED", Stage.ENDED), ("ACTIVATING", Stage.START)])
def test_statuses_that_are_seldom_seen(status, stage):
    assert stage_of(_task(status=status)) == stage
