"""What is said of tasks, events, targets and instances, and which proof goes with it, case by case."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecs_gpu_deploy.core.diagnose.diagnosis import diagnoses_of, diagnosis, explanation_of
from ecs_gpu_deploy.core.diagnose.table import causes
from ecs_gpu_deploy.core.judge.timing import HealthTiming, LoadBalancerCheck
from ecs_gpu_deploy.model import Container, Deployment, Event, LogTail, Service, TargetHealth, Task
from ecs_gpu_deploy.result import Diagnosis

ESSENTIAL = "Essential container in task exited"
ELB_KILL = "Task failed ELB health checks in (target-group tg)"
NO_GPU = (
    "(service rag) was unable to place a task because no container instance met all of its requirements. "
    "The closest matching (container-instance {}) has insufficient GPU resource available."
)
PULL = "(service rag) was unable to place a task. Reason: CannotPullContainerError: manifest unknown."
STARTED = "(service rag) has started 1 tasks: (task a)."
UNHEALTHY = (
    "(service rag) (port 8000) is unhealthy in (target-group tg) due to (reason Health checks failed with "
    "these codes: [{}])"
)
TIMING = HealthTiming(load_balancer=LoadBalancerCheck(interval=15, timeout=10, unhealthy_threshold=5))
TRACES = [f"Traceback (most recent call last): {number}" for number in range(5)]
OUT_OF_MEMORY = [f"CUDA out of memory, try {number}" for number in range(5)]


def container(code: int | None = None, reason: str = "", name: str = "rag") -> Container:
    return Container(name=name, exit_code=code, reason=reason)


def task(name: str, *containers: Container, **fields: Any) -> Task:
    given: dict[str, Any] = {
        "last_status": "STOPPED",
        "group": "service:rag",
        "stop_code": "EssentialContainerExited",
        "stopped_reason": ESSENTIAL,
    }
    return Task(arn=f"arn:t/{name}", containers=containers, **{**given, **fields})


def killed(name: str, seconds: float = 90, **fields: Any) -> Task:
    given = {"stop_code": "ServiceSchedulerInitiated", "stopped_reason": ELB_KILL, "started_at": 1000.0}
    return task(name, container(137), **{**given, "stopping_at": 1000.0 + seconds, **fields})


def tails(name: str, *lines: str) -> list[LogTail]:
    return [LogTail(task_id=name, container="rag", lines=lines)]


def events(*said: tuple[float, str]) -> list[Event]:
    return [Event(id=str(at), created_at=at, message=message) for at, message in said]


def target(state: str, description: str = "Request timed out") -> TargetHealth:
    return TargetHealth(
        target_group_arn="arn:tg",
        target_id="i-1",
        port=80,
        state=state,
        reason="Target.X",
        description=description,
    )


def service(running: int, pending: int, desired: int = 2, status: str = "PRIMARY") -> Service:
    counts = {"desired_count": desired, "running_count": running, "pending_count": pending}
    return Service(
        arn="arn:s",
        name="rag",
        cluster_arn="arn:c",
        status="ACTIVE",
        task_definition="rag:2",
        deployments=(Deployment(id="ecs-svc/2", status=status, task_definition="rag:2", **counts),),
        events=(),
        **counts,
    )


@dataclass(frozen=True, kw_only=True)
class Instance:
    arn: str
    agent_connected: bool = False


FAILED_START = {"stop_code": "TaskFailedToStart", "stopped_reason": "Task failed to start"}
CASES = {
    **{
        f"exit code {code}": lambda code=code: diagnoses_of(tasks=[task("a", container(code))])
        for code in (0, 1, 125, 126, 127, 134, 137, 139, 143)
    },
    "killed beside two that ended with 0 and one that was stopped": lambda: diagnoses_of(
        tasks=[
            task(
                "a",
                container(137),
                container(0, name="b"),
                container(0, name="c"),
                container(143, name="d"),
                container(0, name="side"),
            )
        ],
        side=frozenset({"side"}),
    ),
    "an init that is not essential kept the main container from starting": lambda: diagnoses_of(
        tasks=[task("a", container(2), container(None, name="main"))],
        log_tails=tails("a", *OUT_OF_MEMORY[:1]),
        side=frozenset({"rag"}),
    ),
    "the scheduler stopped it, and a symptom is the reason": lambda: diagnoses_of(
        tasks=[
            task(
                "a",
                container(137),
                stop_code="ServiceSchedulerInitiated",
                stopped_reason="exited with code 137",
            )
        ]
    ),
    "the container says more": lambda: diagnoses_of(tasks=[task("a", container(1, "It broke."))]),
    "the last three lines of trouble": lambda: diagnoses_of(
        tasks=[task("a", container(1))], log_tails=tails("a", *TRACES)
    ),
    "the first three lines of a cause": lambda: diagnoses_of(
        tasks=[task("a", container(1), container(0, name="b"))], log_tails=tails("a", *OUT_OF_MEMORY)
    ),
    "a cause beside a health check": lambda: diagnoses_of(
        tasks=[killed("a")], log_tails=tails("a", *OUT_OF_MEMORY)
    ),
    "of two causes in a log the lines of the first": lambda: diagnoses_of(
        tasks=[task("a", container(1))],
        log_tails=tails("a", "OSError: [Errno 28] No space left on device", *OUT_OF_MEMORY[:1]),
    ),
    "a health check, two lines of trouble and the last two": lambda: diagnoses_of(
        tasks=[killed("a", 4000)], log_tails=tails("a", *TRACES, "x", "y", "z"), timing=TIMING
    ),
    "a health check, and nothing was logged": lambda: diagnoses_of(tasks=[killed("a", 4000)]),
    "killed while it loads": lambda: diagnoses_of(
        tasks=[killed("a")], log_tails=tails("a", "Loading model weights"), timing=TIMING
    ),
    "killed while it loads, and the target answers 404": lambda: diagnoses_of(
        tasks=[killed("a")],
        log_tails=tails("a", "Loading model weights"),
        timing=TIMING,
        target_health=[target("unhealthy", "Health checks failed with these codes: [503, 404]")],
    ),
    "killed while it loads, as event and target say too": lambda: diagnoses_of(
        tasks=[killed("a")],
        log_tails=tails("a", "Loading model weights"),
        timing=TIMING,
        events=events((1.0, UNHEALTHY.format(503))),
        target_health=[target("unhealthy")],
    ),
    "two tasks, the first one says more": lambda: diagnoses_of(
        tasks=[task("a", container(3)), task("b", container(4))]
    ),
    "somebody stopped it, in words of their own": lambda: diagnoses_of(
        tasks=[task("a", container(137), stop_code="UserInitiated", stopped_reason="Too dear.")]
    ),
    "Spot, without a reason": lambda: diagnoses_of(
        tasks=[task("a", stop_code="SpotInterruption", stopped_reason="")]
    ),
    "Spot, with a reason": lambda: diagnoses_of(
        tasks=[task("a", stop_code="SpotInterruption", stopped_reason="Your Spot Task was interrupted.")]
    ),
    "a host that was lost, with an exit code": lambda: diagnoses_of(
        tasks=[task("a", container(137), stop_code="TerminationNotice", stopped_reason="")]
    ),
    "nothing is known": lambda: diagnoses_of(
        tasks=[task("a", container(None, "Odd."), stop_code="X", stopped_reason="A reason of the year 2031")]
    ),
    "the container that did not start says why": lambda: diagnoses_of(
        tasks=[task("a", container(None, "CannotPullContainerError: manifest unknown"), **FAILED_START)]
    ),
    "no exit code, lines of trouble": lambda: diagnoses_of(
        tasks=[task("a", container(None), **FAILED_START)], log_tails=tails("a", *TRACES)
    ),
    "stopped without a code or a reason": lambda: diagnoses_of(
        tasks=[task("a", container(1), stop_code="", stopped_reason="")]
    ),
    "stopping, and a reason is there already": lambda: diagnoses_of(
        tasks=[task("a", last_status="STOPPING", stop_code="", stopped_reason="RESOURCE:GPU")]
    ),
    "a normal stop does not hide what AWS says of the container": lambda: diagnoses_of(
        tasks=[
            task(
                "a",
                container(137, "OutOfMemoryError: Container killed due to memory usage"),
                stop_code="ServiceSchedulerInitiated",
                stopped_reason="",
            )
        ]
    ),
    "a normal stop, whatever was logged": lambda: diagnoses_of(
        tasks=[task("a", container(1), stop_code="ServiceSchedulerInitiated", stopped_reason="")],
        log_tails=tails("a", *OUT_OF_MEMORY),
    ),
    "a batch that is done, whatever was logged": lambda: diagnoses_of(
        tasks=[task("a", container(0), group="family:x")], log_tails=tails("a", *OUT_OF_MEMORY)
    ),
    "a batch of two containers, one of them failed": lambda: diagnoses_of(
        tasks=[task("a", container(0), container(2, name="b"), group="family:x")]
    ),
    "a service's task that ends with 0, known by its deployment": lambda: diagnoses_of(
        tasks=[task("a", container(0), group="", started_by="ecs-svc/2")]
    ),
    "a batch of which no container is shown": lambda: diagnoses_of(tasks=[task("a", group="family:x")]),
    "the newest event first": lambda: diagnoses_of(
        tasks=[], events=events((1.0, NO_GPU.format("one")), (2.0, NO_GPU.format("two")))
    ),
    "a start ends the shortage before it, and no other cause": lambda: diagnoses_of(
        tasks=[], events=events((1.0, NO_GPU.format("one")), (1.5, PULL), (2.0, STARTED))
    ),
    "a shortage at the same second as a start": lambda: diagnoses_of(
        tasks=[], events=events((2.0, NO_GPU.format("one")), (2.0, STARTED))
    ),
    "a shortage after a start": lambda: diagnoses_of(
        tasks=[], events=events((2.0, STARTED), (3.0, NO_GPU.format("one")))
    ),
    **{
        f"a shortage before a start, {running} running, {pending} pending": (
            lambda running=running, pending=pending: diagnoses_of(
                tasks=[],
                events=events((1.0, NO_GPU.format("one")), (2.0, STARTED)),
                service=service(running, pending),
            )
        )
        for running, pending in ((2, 0), (1, 1), (1, 0), (0, 1))
    },
    "a shortage before a start, and AWS shows no primary deployment": lambda: diagnoses_of(
        tasks=[],
        events=events((1.0, NO_GPU.format("one")), (2.0, STARTED)),
        service=service(0, 0, status="ACTIVE"),
    ),
    "targets": lambda: diagnoses_of(
        tasks=[], target_health=[target("healthy"), target("unhealthy"), target("unhealthy.draining")]
    ),
    "targets, where a task tells more": lambda: diagnoses_of(
        tasks=[task("a", container(1))], target_health=[target("unhealthy")]
    ),
    "targets, where an event tells more": lambda: diagnoses_of(
        tasks=[], target_health=[target("unhealthy")], events=events((1.0, PULL))
    ),
    "targets, and the breaker's words": lambda: diagnoses_of(
        tasks=[],
        target_health=[target("unhealthy")],
        reasons=["(service rag) (deployment ecs-svc/2) deployment failed: tasks failed to start."],
    ),
    "what a field proves": lambda: diagnoses_of(tasks=[], proven={"alarm": "triggeredAlarmNames: p95"}),
    "what AWS says of the deployment": lambda: diagnoses_of(
        tasks=[], reasons=["RESOURCE:GPU", "Something odd."]
    ),
    "an agent that is silent under our task, and one under nobody's": lambda: diagnoses_of(
        tasks=[
            task(
                "a",
                last_status="RUNNING",
                stop_code="",
                stopped_reason="",
                container_instance_arn="i/2",
            )
        ],
        instances=[Instance(arn="i/2"), Instance(arn="i/1"), Instance(arn="i/3", agent_connected=True)],
    ),
    "an agent that is silent under a task that stopped": lambda: diagnoses_of(
        tasks=[task("a", container(1), container_instance_arn="i/2")],
        instances=[Instance(arn="i/2"), Instance(arn="i/3", agent_connected=True)],
    ),
    "agents that are silent, and a task that says so": lambda: diagnoses_of(
        tasks=[
            task("a", **{**FAILED_START, "stopped_reason": "AGENT", "container_instance_arn": "i/2"}),
            task("b", last_status="PENDING", stop_code="", stopped_reason="", container_instance_arn="i/2"),
            task(
                "c",
                last_status="DEPROVISIONING",
                stop_code="X",
                stopped_reason="AGENT",
                container_instance_arn="i/2",
            ),
        ],
        instances=[Instance(arn="i/2"), Instance(arn="i/3", agent_connected=True)],
    ),
    "no instances at all": lambda: diagnoses_of(tasks=[], instances=[]),
    "explain: a check that failed, and how it was stopped": lambda: explanation_of(
        "Task failed container health checks\nexited with code 137"
    ),
    "explain: a check that failed while it loads": lambda: explanation_of(
        f"INFO Loading model weights\n{ELB_KILL}"
    ),
    "explain: a check that failed, and the server is up": lambda: explanation_of(
        f"INFO Loading model weights\nApplication startup complete.\n{ELB_KILL}"
    ),
    "explain: a kill alone": lambda: explanation_of("exited with code 137"),
    "explain: symptoms alone": lambda: explanation_of("\n".join(TRACES)),
    "explain: a symptom beside a cause": lambda: explanation_of("\n".join([*TRACES, *OUT_OF_MEMORY[:1]])),
    "explain: two causes": lambda: explanation_of("No space left on device\nCUDA out of memory"),
    "explain: the last line that is none": lambda: explanation_of("one\ntwo\n  \n"),
    "explain: the last of many lines": lambda: explanation_of("one\ntwo\nthree"),
    "explain: the breaker's words beside a symptom": lambda: explanation_of(
        f"{TRACES[0]}\n(service rag) (deployment ecs-svc/2) deployment failed: tasks failed to start."
    ),
    "explain: five lines are proof enough": lambda: explanation_of(
        "\n".join([*TRACES, *TRACES[:1], "Traceback (most recent call last): 5"])
    ),
    "explain: nothing": lambda: explanation_of(""),
    "a code without more": lambda: (diagnosis("throttled"),),
    "a message that begins with an abbreviation": lambda: (
        diagnosis("throttled", tasks=["a"], message="IO waits."),
    ),
    "a code with all": lambda: (
        diagnosis("throttled", evidence=["x", "x", " ", "y"], tasks=["a", "b"], message="It waits."),
    ),
}


def headline(found: Diagnosis) -> str:
    number = len(found.tasks)
    return f"{number} {'task' if number == 1 else 'tasks'}: {found.code}" if number else found.code


def said(found: tuple[Diagnosis, ...]) -> str:
    """Write *found* down without the table's own words, which have tests of their own."""
    lines = []
    for each in found:
        message = each.message
        for cause in causes():
            message = message.replace(cause.meaning[1:], "…") if cause.code == each.code else message
        lines += [f"    {headline(each)} [{' '.join(each.tasks)}]: {message}"]
        lines += [f"        {line}" for line in each.evidence]
    return "\n".join(lines or ["    nothing"])


def test_what_is_said_and_what_proves_it() -> None:
    golden = (Path(__file__).parent / "golden" / "diagnoses.txt").read_text(encoding="utf-8")
    assert "\n".join(f"{name}\n{said(ask())}\n" for name, ask in CASES.items()) == golden


def test_a_line_that_calls_itself_a_warning_is_no_failure() -> None:
    assert [found.code for found in explanation_of("WARNING: cache: failed to open, going on")] == ["unknown"]
    assert explanation_of("cache: failed to open")[0].code == "container-exit"
    assert explanation_of("ERROR: no warning, cache: failed to open")[0].code == "container-exit"


def test_an_ordinary_line_hides_no_failure_beside_it() -> None:
    lines = "INFO cache: failed to open, going on\ncache: failed to open"
    assert [found.code for found in explanation_of(lines)] == ["container-exit"]
    assert explanation_of(lines)[0].evidence == ("cache: failed to open",)


def test_what_a_deployment_tool_prints_around_its_failure_is_its_own() -> None:
    told = "##[error]Waiter ServicesStable failed: Max attempts exceeded\nProcess failed with exit code 255"
    assert explanation_of(told)[0].code == "unknown"
    assert explanation_of(f"{told}\nTraceback (most recent call last)\nCUDA out of memory")[0].code == (
        "cuda-out-of-memory"
    )


def test_normal_work_beside_a_failure_is_not_what_is_told() -> None:
    assert explanation_of(f"{STARTED}\ncache: failed to open")[0].code == "container-exit"
