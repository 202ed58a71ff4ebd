"""Looks at a rollout as AWS may show it, for the tests of the judge: small, with names of their own."""

from __future__ import annotations

from dataclasses import replace

from ecs_gpu_deploy.core.judge.rollout import (
    Snapshot,
    Waiting,
    Watched,
    history_at_start,
    judge,
    observed,
)
from ecs_gpu_deploy.model import (
    CircuitBreaker,
    Container,
    Deployment,
    Event,
    RolloutState,
    Service,
    ServiceDeployment,
    ServiceDeploymentStatus,
    Task,
)

OLD, OURS, FOREIGN = "ecs-svc/1", "ecs-svc/2", "ecs-svc/3"
REVISION = "arn:aws:ecs:eu-central-1:123456789012:service-revision/c/s/2"
WATCHED = Watched(
    deployment_id=OURS,
    task_definition="f:2",
    baseline=frozenset({OLD}),
    started_at=1000.0,
    timeout=3600.0,
    placement_timeout=900.0,
)
BREAKER = CircuitBreaker(enable=True, rollback=True)


def deployment(id_, status="PRIMARY", state="COMPLETED", running=2, **rest):
    return Deployment(
        id=id_,
        status=status,
        task_definition=f"f:{id_[-1]}",
        desired_count=2,
        running_count=running,
        rollout_state=RolloutState(state),
        **rest,
    )


def service(*deployments, events=(), desired=2, breaker=BREAKER, **rest):
    return Service(
        arn="arn:aws:ecs:eu-central-1:123456789012:service/c/s",
        name="s",
        cluster_arn="arn:aws:ecs:eu-central-1:123456789012:cluster/c",
        status="ACTIVE",
        task_definition="f:1",
        desired_count=desired,
        running_count=2,
        pending_count=0,
        deployments=deployments,
        events=events,
        circuit_breaker=breaker,
        **rest,
    )


def rollout(status, **rest):
    return ServiceDeployment(
        arn="arn:sd", status=ServiceDeploymentStatus(status), target_revision_arn=REVISION, **rest
    )


def verdict(*snapshots, watched=WATCHED, facts=None):
    """Return the answer to the last look; where the judge asks for a closer one, it is the same again."""
    history = history_at_start(watched)
    answer = None
    for snapshot in snapshots:
        history = observed(watched, history, snapshot)
        answer = judge(watched, snapshot, history, snapshot.at, facts)
        if isinstance(answer, Waiting) and answer.closer:
            closer = replace(snapshot, is_whole=True)
            history = observed(watched, history, closer)
            answer = judge(watched, closer, history, closer.at, facts)
    return answer


def look(at, shown, rollout_=None, *, closed=False, tasks=()):
    return Snapshot(at=at, service=shown, deployment=rollout_, api_closed=closed, tasks=tasks)


OURS_DONE = service(deployment(OURS))
OURS_GOING = service(deployment(OURS, state="IN_PROGRESS"), deployment(OLD, "ACTIVE"))
OURS_WAITING = service(deployment(OURS, state="IN_PROGRESS", running=0), deployment(OLD, "ACTIVE"))
BACK_TO_OLD = service(deployment(OLD))


def unplaced(at):
    return Event(
        id=f"u{at}",
        created_at=at,
        message="service s was unable to place a task because no container instance met all of its "
        "requirements. The closest matching container-instance i has insufficient GPU resource available.",
    )


def crashed(number, exit_code=1):
    return Task(
        arn=f"arn:t/{number}",
        started_by=OURS,
        last_status="STOPPED",
        stop_code="EssentialContainerExited",
        stopped_reason="Essential container in task exited",
        stopped_at=1100.0 + number,
        containers=(Container(name="rag", exit_code=exit_code),),
    )
