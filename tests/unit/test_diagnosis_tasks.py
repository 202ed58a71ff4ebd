"""From tasks, events, target health and log tails to causes: cause before symptom."""

from dataclasses import dataclass
from typing import Any

import pytest

from ecs_gpu_deploy.core.diagnose.diagnosis import diagnoses_of, diagnosis
from ecs_gpu_deploy.core.judge.timing import ContainerCheck, HealthTiming, LoadBalancerCheck
from ecs_gpu_deploy.model import Container, Deployment, Event, LogTail, Service, TargetHealth, Task
from ecs_gpu_deploy.result import Diagnosis

TARGET_GROUP = "arn:aws:elasticloadbalancing:us-east-1:111122223333:targetgroup/rag/0123456789abcdef"
ELB_KILL = f"Task failed ELB health checks in (target-group {TARGET_GROUP})"
CHECK_KILL = "Task failed container health checks"
ARTICLE = HealthTiming(
    load_balancer=LoadBalancerCheck(interval=15, timeout=10, unhealthy_threshold=5),
    container=ContainerCheck(interval=15, timeout=10, retries=8, start_period=120),
)


def task(name: str, *, code: int | None = None, container_reason: str = "", **fields: Any) -> Task:
    values: dict[str, Any] = {
        "last_status": "STOPPED",
        "desired_status": "STOPPED",
        "group": "service:rag",
        "stop_code": "EssentialContainerExited",
        "stopped_reason": "Essential container in task exited",
        "containers": (Container(name="rag", exit_code=code, reason=container_reason),),
    }
    return Task(arn=f"arn:aws:ecs:us-east-1:111122223333:task/ml/{name}", **{**values, **fields})


def killed(name: str, reason: str, seconds: float, **fields: Any) -> Task:
    return task(
        name,
        code=137,
        stop_code="ServiceSchedulerInitiated",
        stopped_reason=reason,
        started_at=1000.0,
        stopping_at=1000.0 + seconds,
        **fields,
    )


def log(name: str, *lines: str) -> LogTail:
    return LogTail(task_id=name, container="rag", lines=lines)


def events(*messages: str) -> tuple[Event, ...]:
    """Return *messages* as events, oldest first, a minute apart."""
    return tuple(Event(id=str(i), created_at=60.0 * i, message=text) for i, text in enumerate(messages))


def codes(found: tuple[Diagnosis, ...]) -> list[str]:
    return [one.code for one in found]


def test_three_tasks_with_one_cause_are_one_group() -> None:
    reason = "OutOfMemoryError: Container killed due to memory usage"
    found = diagnoses_of(tasks=[task(name, code=137, container_reason=reason) for name in ("a", "b", "c")])
    assert codes(found) == ["out-of-memory"]
    assert (found[0].code, len(found[0].tasks)) == ("out-of-memory", 3)
    assert found[0].message.startswith("3 tasks: the container was killed")
    assert found[0].tasks == ("a", "b", "c")
    assert reason in found[0].evidence
    assert "memory" in found[0].hint


def test_out_of_memory_comes_with_exit_zero_too() -> None:
    reason = "OutOfMemoryError: Container killed due to memory usage"
    assert codes(diagnoses_of(tasks=[task("a", code=0, container_reason=reason)])) == ["out-of-memory"]


CAUSE_IN_THE_LOG = {
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.": "cuda-out-of-memory",
    "RuntimeError: No CUDA GPUs are available": "gpu-not-visible",
    "CUDA driver version is insufficient for CUDA runtime version": "cuda-driver-mismatch",
    "RuntimeError: DataLoader worker (pid 7) is killed by signal: Bus error.": "shared-memory",
    "exec /app/run.sh: exec format error": "architecture-mismatch",
    "[1] [ERROR] Worker (pid:7) was sent SIGKILL! Perhaps out of memory?": "out-of-memory",
    "OSError: [Errno 28] No space left on device": "disk-full",
}


@pytest.mark.parametrize(("line", "code"), CAUSE_IN_THE_LOG.items(), ids=CAUSE_IN_THE_LOG.values())
@pytest.mark.parametrize(
    "reason", [ELB_KILL, CHECK_KILL], ids=["killed by the ELB", "killed by its own check"]
)
def test_the_log_outranks_the_health_check_it_broke(line: str, code: str, reason: str) -> None:
    found = diagnoses_of(
        tasks=[killed("a", reason, 80)],
        log_tails=[log("a", "INFO start", line)],
        events=events("(service rag) (task a) failed container health checks."),
        timing=ARTICLE,
    )
    assert codes(found) == [code]
    assert found[0].evidence[0] == line
    assert found[0].tasks == ("a",)


def test_137_with_a_failed_health_check_is_no_memory_limit() -> None:
    found = diagnoses_of(tasks=[killed("a", CHECK_KILL, 2000)], log_tails=[log("a", "exited with code 137")])
    assert codes(found) == ["health-check-container"]


def test_a_log_of_another_task_proves_nothing_here() -> None:
    found = diagnoses_of(tasks=[killed("a", ELB_KILL, 900)], log_tails=[log("b", "CUDA out of memory")])
    assert codes(found) == ["health-check-elb"]


NORMAL = {
    "replaced by a deployment": task(
        "a",
        code=143,
        stop_code="ServiceSchedulerInitiated",
        stopped_reason="Scaling activity initiated by (deployment ecs-svc/1)",
    ),
    "stopped by a user": task(
        "a", code=137, stop_code="UserInitiated", stopped_reason="Task stopped by user"
    ),
    "scheduler, no reason": task("a", code=137, stop_code="ServiceSchedulerInitiated", stopped_reason=""),
    "running": task("a", last_status="RUNNING", stop_code="", stopped_reason="", desired_status="RUNNING"),
    "a finished batch": task("a", code=0, group="family:ingest"),
}


@pytest.mark.parametrize("one", NORMAL.values(), ids=NORMAL.keys())
def test_a_normal_end_is_no_diagnosis(one: Task) -> None:
    logs = [log("a", "UserWarning: CUDA is not available, falling back to CPU")]
    assert diagnoses_of(tasks=[one], log_tails=logs) == ()


def test_a_service_whose_container_ends_with_zero_has_failed() -> None:
    found = diagnoses_of(tasks=[task("a", code=0)])
    assert codes(found) == ["container-exit"]
    assert "exit code 0" in found[0].message


ENDS = {
    "exit 1": (task("a", code=1), "container-exit"),
    "exit 139": (task("a", code=139), "container-exit"),
    "exit 137, no reason": (task("a", code=137), "container-exit"),
    "exit 127": (task("a", code=127), "command-not-found"),
    "exit 126": (task("a", code=126), "command-not-found"),
    "spot": (task("a", stop_code="SpotInterruption", stopped_reason=""), "spot-interruption"),
    "spot of Fargate": (
        task("a", stop_code="TerminationNotice", stopped_reason="Host EC2 (instance i-0) terminated."),
        "instance-lost",
    ),
    "impaired accelerator": (task("a", stop_code="InfrastructureHealth", stopped_reason=""), "instance-lost"),
    "no GPU in 30 minutes": (
        task("a", stop_code="TaskFailedToStart", stopped_reason="RESOURCE:GPU", containers=()),
        "gpu-capacity",
    ),
    "no instance": (
        task("a", stop_code="TaskFailedToStart", stopped_reason="EMPTY CAPACITY PROVIDER", containers=()),
        "no-instances",
    ),
    "no image": (
        task(
            "a",
            stop_code="TaskFailedToStart",
            stopped_reason="Task failed to start",
            container_reason="CannotPullContainerError: manifest unknown: Requested image not found",
        ),
        "image-not-found",
    ),
    "something new": (
        task("a", stop_code="TaskFailedToStart", stopped_reason="A reason of the year 2031", containers=()),
        "unknown",
    ),
}


@pytest.mark.parametrize(("one", "code"), ENDS.values(), ids=ENDS.keys())
def test_the_end_of_a_task_is_named(one: Task, code: str) -> None:
    found = diagnoses_of(tasks=[one])
    assert codes(found) == [code]
    assert found[0].hint
    assert found[0].tasks == ("a",)


def test_the_container_that_failed_is_named_not_its_killed_sidecar() -> None:
    both = (Container(name="otel", exit_code=137), Container(name="rag", exit_code=3))
    found = diagnoses_of(tasks=[task("a", containers=both)])
    assert "rag ended with exit code 3" in found[0].message


def test_evidence_is_trimmed_distinct_and_at_most_five() -> None:
    lines = tuple(f"CUDA out of memory {number} {'x' * 5000}" for number in range(9))
    found = diagnoses_of(
        tasks=[task("a", code=1), task("b", code=1)], log_tails=[log("a", *lines), log("b", *lines)]
    )
    assert len(found[0].evidence) <= 5
    assert all(len(line) <= 400 for line in found[0].evidence)
    assert len(set(found[0].evidence)) == len(found[0].evidence)


def test_root_causes_come_first() -> None:
    found = diagnoses_of(
        tasks=[killed("a", ELB_KILL, 4000), killed("b", ELB_KILL, 4000), task("c", code=1)],
        log_tails=[log("c", "CUDA out of memory")],
    )
    assert codes(found) == ["cuda-out-of-memory", "health-check-elb"]


# --- killed while still loading ---------------------------------------------------------------------------


LOADING = ("INFO Loading model weights", "Loading checkpoint shards:  43%|####")


def test_killed_by_the_elb_while_loading_shows_the_arithmetic() -> None:
    timing = HealthTiming(load_balancer=ARTICLE.load_balancer, load_seconds=210)
    found = diagnoses_of(tasks=[killed("a", ELB_KILL, 97)], log_tails=[log("a", *LOADING)], timing=timing)
    assert codes(found) == ["health-check-timing"]
    assert (
        "load needed ~210 s, ELB allowed 75 s: set health_check_grace_period_seconds ≥ 315"
        in found[0].message
    )


def test_the_progress_in_the_log_tells_the_load_time() -> None:
    found = diagnoses_of(tasks=[killed("a", ELB_KILL, 86)], log_tails=[log("a", *LOADING)], timing=ARTICLE)
    assert "load needed ~200 s (its log stood at 43 %), ELB allowed 75 s" in found[0].message
    assert "≥ 300" in found[0].message


def test_another_tasks_log_tells_the_load_time() -> None:
    found = diagnoses_of(
        tasks=[killed("a", ELB_KILL, 86)],
        log_tails=[log("a", "INFO Loading model"), log("b", "INFO model loaded in 120.4 s")],
        timing=ARTICLE,
    )
    assert "load needed ~120 s (another task's log), ELB allowed 75 s" in found[0].message


def test_an_unknown_load_time_is_said_to_be_unknown() -> None:
    tails = [log("a", "INFO Loading model")]
    found = diagnoses_of(tasks=[killed("a", ELB_KILL, 90)], log_tails=tails, timing=ARTICLE)
    assert "load needed more than 90 s" in found[0].message
    assert "measure" in found[0].message


def test_the_containers_own_check_has_its_own_arithmetic() -> None:
    timing = HealthTiming(container=ARTICLE.container, load_seconds=400)
    tails = [log("a", "INFO Loading model")]
    found = diagnoses_of(tasks=[killed("a", CHECK_KILL, 260)], log_tails=tails, timing=timing)
    assert codes(found) == ["health-check-timing"]
    assert "container health check allowed 215 s: set startPeriod 300" in found[0].message
    assert "≥ 600" in found[0].message


NOT_LOADING = {
    "the log shows an error": (killed("a", ELB_KILL, 90), ["Traceback (most recent call last):"], ARTICLE),
    "it lived much longer than allowed": (killed("a", ELB_KILL, 900), [*LOADING], ARTICLE),
    "it was healthy for its own check": (
        killed("a", ELB_KILL, 90, health_status="HEALTHY"),
        [*LOADING],
        ARTICLE,
    ),
    "the server answers 404": (
        killed("a", ELB_KILL, 90),
        [*LOADING, '10.0.0.7 - "GET /healthz HTTP/1.1" 404'],
        ARTICLE,
    ),
    "the server is up": (killed("a", ELB_KILL, 90), [*LOADING, "Application startup complete."], ARTICLE),
    "the load is known to be short": (
        killed("a", ELB_KILL, 90),
        [*LOADING],
        HealthTiming(load_balancer=ARTICLE.load_balancer, load_seconds=30),
    ),
    "no log, no measure": (killed("a", ELB_KILL, 90), [], ARTICLE),
    "no timing known": (killed("a", ELB_KILL, 90), [*LOADING], None),
}


@pytest.mark.parametrize(("one", "lines", "timing"), NOT_LOADING.values(), ids=NOT_LOADING.keys())
def test_a_health_check_that_fails_otherwise(
    one: Task, lines: list[str], timing: HealthTiming | None
) -> None:
    found = diagnoses_of(tasks=[one], log_tails=[log("a", *lines)], timing=timing)
    assert codes(found) == ["health-check-elb"]


def test_503_while_the_server_is_up_is_still_loading() -> None:
    lines = [
        "Application startup complete.",
        'INFO: 10.0.0.7:1 - "GET /health HTTP/1.1" 503 Service Unavailable',
    ]
    found = diagnoses_of(tasks=[killed("a", ELB_KILL, 90)], log_tails=[log("a", *lines)], timing=ARTICLE)
    assert codes(found) == ["health-check-timing"]


def test_404_seen_by_the_load_balancer_is_a_wrong_path() -> None:
    said = f"(service rag) (task a) (port 8000) is unhealthy in (target-group {TARGET_GROUP}) due to (reason "
    found = diagnoses_of(
        tasks=[killed("a", ELB_KILL, 90)],
        log_tails=[log("a", *LOADING)],
        events=events(said + "Health checks failed with these codes: [404])."),
        timing=ARTICLE,
    )
    assert codes(found) == ["health-check-elb"]


def test_the_unhealthy_event_is_evidence_of_the_timing() -> None:
    said = f"(service rag) (task a) (port 8000) is unhealthy in (target-group {TARGET_GROUP}) due to (reason "
    found = diagnoses_of(
        tasks=[killed("a", ELB_KILL, 90)],
        log_tails=[log("a", *LOADING)],
        events=events(said + "Health checks failed with these codes: [503])."),
        timing=ARTICLE,
    )
    assert codes(found) == ["health-check-timing"]
    assert any("[503]" in line for line in found[0].evidence)


# --- events, targets, instances, reasons ------------------------------------------------------------------


NO_GPU = (
    "(service rag) was unable to place a task because no container instance met all of its requirements. "
    "The closest matching (container-instance 0123) has insufficient GPU resource available. For more "
    "information, see the Troubleshooting section of the Amazon ECS Developer Guide."
)
STARTED = "(service rag) has started 1 tasks: (task a)."


def service(*, running: int, pending: int, desired: int) -> Service:
    primary = Deployment(
        id="ecs-svc/2",
        status="PRIMARY",
        task_definition="rag:2",
        desired_count=desired,
        pending_count=pending,
        running_count=running,
    )
    return Service(
        arn="arn:aws:ecs:us-east-1:111122223333:service/ml/rag",
        name="rag",
        cluster_arn="arn:aws:ecs:us-east-1:111122223333:cluster/ml",
        status="ACTIVE",
        task_definition="rag:2",
        desired_count=desired,
        running_count=running,
        pending_count=pending,
        deployments=(primary,),
        events=(),
    )


def test_an_event_alone_is_a_cause() -> None:
    found = diagnoses_of(tasks=[], events=events(NO_GPU))
    assert codes(found) == ["gpu-capacity"]
    assert found[0].tasks == ()
    assert found[0].evidence == (NO_GPU,)


def test_a_shortage_that_was_resolved_is_none() -> None:
    assert diagnoses_of(tasks=[], events=events(NO_GPU, STARTED)) == ()


def test_a_shortage_that_lasts_is_named_though_a_task_started() -> None:
    found = diagnoses_of(
        tasks=[], events=events(NO_GPU, STARTED), service=service(running=1, pending=0, desired=2)
    )
    assert codes(found) == ["gpu-capacity"]


def test_normal_events_are_no_diagnosis() -> None:
    normal = events(
        STARTED,
        "(service rag) registered 1 targets in (target-group x)",
        "(service rag) has begun draining connections on 1 tasks.",
        "(service rag) has stopped 1 running tasks: (task b).",
        "(service rag) (deployment ecs-svc/2) deployment completed.",
        "(service rag) has reached a steady state.",
    )
    assert diagnoses_of(tasks=[], events=normal) == ()


def test_a_hundred_events_of_noise_do_not_hide_the_one() -> None:
    noise = ["(service rag) has reached a steady state."] * 50
    assert codes(diagnoses_of(tasks=[], events=events(*noise, NO_GPU, *noise))) == ["gpu-capacity"]


def test_an_event_and_a_task_with_one_cause_are_one_diagnosis() -> None:
    reason = "CannotPullContainerError: manifest unknown: Requested image not found"
    found = diagnoses_of(
        tasks=[task("a", stop_code="TaskFailedToStart", stopped_reason=reason, containers=())],
        events=events(f"(service rag) was unable to place a task. Reason: {reason}."),
    )
    assert codes(found) == ["image-not-found"]
    assert len(found[0].evidence) == 2


def test_the_breakers_words_are_kept_only_where_nothing_better_is_known() -> None:
    words = "(service rag) (deployment ecs-svc/2) deployment failed: tasks failed to start."
    assert codes(diagnoses_of(tasks=[], events=events(words))) == ["unknown"]
    assert codes(diagnoses_of(tasks=[task("a", code=1)], events=events(words))) == ["container-exit"]


def test_an_unhealthy_target_is_named_where_no_task_has_ended() -> None:
    target = TargetHealth(
        target_group_arn=TARGET_GROUP,
        target_id="10.0.0.7",
        port=8000,
        state="unhealthy",
        reason="Target.Timeout",
        description="Request timed out",
    )
    found = diagnoses_of(tasks=[], target_health=[target])
    assert codes(found) == ["health-check-elb"]
    assert found[0].evidence == ("10.0.0.7:8000 unhealthy: Target.Timeout Request timed out",)


@pytest.mark.parametrize("state", ["initial", "healthy", "draining", "unused"])
def test_a_target_that_is_not_unhealthy_is_none(state: str) -> None:
    target = TargetHealth(
        target_group_arn=TARGET_GROUP, target_id="i-0", state=state, reason="Elb.InitialHealthChecking"
    )
    assert diagnoses_of(tasks=[], target_health=[target]) == ()


@dataclass(frozen=True, kw_only=True)
class Instance:
    arn: str
    agent_connected: bool


def test_a_disconnected_agent_under_our_task_is_named() -> None:
    gone, here = Instance(arn="i/gone", agent_connected=False), Instance(arn="i/here", agent_connected=True)
    pending = task(
        "a", last_status="PENDING", stop_code="", stopped_reason="", container_instance_arn="i/gone"
    )
    found = diagnoses_of(tasks=[pending], instances=[gone, here])
    assert codes(found) == ["agent-disconnected"]
    assert found[0].tasks == ("a",)
    assert diagnoses_of(tasks=[], instances=[gone, here]) == ()
    assert codes(diagnoses_of(tasks=[], instances=[gone])) == ["agent-disconnected"]


def test_reasons_of_the_deployment_count() -> None:
    found = diagnoses_of(
        tasks=[task("a", code=1)], reasons=["No rollback candidate was found to run the rollback."]
    )
    assert set(codes(found)) == {"no-rollback-candidate", "container-exit"}
    hook = "Service deployment rolled back because PRE_SCALE_UP lifecycle hook(s) failed."
    assert codes(diagnoses_of(tasks=[], reasons=[hook])) == ["hook-failed"]


def test_a_bare_api_failure_is_named() -> None:
    assert codes(diagnoses_of(tasks=[], reasons=["RESOURCE:GPU", "AGENT"])) == [
        "gpu-capacity",
        "agent-disconnected",
    ]


def test_nothing_wrong_is_no_diagnosis() -> None:
    assert diagnoses_of(tasks=[]) == ()


def test_a_code_can_be_named_outright() -> None:
    one = diagnosis(
        "throttled", evidence=["Rate exceeded"], message="UpdateService was throttled to the end."
    )
    assert (one.code, one.message) == ("throttled", "UpdateService was throttled to the end.")
    assert "--poll-interval" in one.hint
