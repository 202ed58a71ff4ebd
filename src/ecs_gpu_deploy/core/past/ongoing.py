"""What is told of a deployment that is under way: its status, its age, and the command that stops it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from ecs_gpu_deploy.core.judge.codedeploy import stop_command_of
from ecs_gpu_deploy.core.past.revisions import Rollout
from ecs_gpu_deploy.core.text import span
from ecs_gpu_deploy.model import RolloutState, Service, ServiceDeployment, short_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Ongoing:
    """A deployment that is under way.

    `created_at` is in epoch seconds, 0 where AWS does not say it. `stop` is the command that rolls it back,
    "" where it goes back already, or to what is not known. `stage` is its lifecycle stage, `waits` are the
    ids of the hooks that wait for an answer.
    """

    name: str
    status: str
    created_at: float = 0.0
    stop: str = ""
    stage: str = ""
    waits: tuple[str, ...] = ()

    def told(self, now: float) -> str:
        """Return `1a2b3c, IN_PROGRESS, began 5m ago`, in stages with its stage, and the hooks that wait."""
        age = f", began {span(now - self.created_at)} ago" if self.created_at else ""
        stage = f", at {self.stage}" if self.stage else ""
        waits = (
            f", where it waits for continue or reject (hook {', '.join(self.waits)})" if self.waits else ""
        )
        return f"{self.name}, {self.status}{age}{stage}{waits}"

    @property
    def hint(self) -> str:
        """Return how to stop it, "" where there is no command for that."""
        return f"To stop it and go back to what ran before: {self.stop}" if self.stop else ""


def newest_ongoing(deployments: Iterable[ServiceDeployment]) -> ServiceDeployment | None:
    """Return the first of a service's deployments, newest first, that has not ended; None where all have."""
    return next((each for each in deployments if not each.status.is_terminal), None)


def ongoing_of(deployment: ServiceDeployment | Rollout) -> Ongoing:
    """Return what is told of a service deployment that is under way."""
    stop = stop_command("", "", arn=deployment.arn, before="")
    return Ongoing(
        name=short_id(deployment.arn),
        status=deployment.status,
        created_at=deployment.created_at,
        stop="" if deployment.status.is_going_back else stop,
        stage=deployment.lifecycle_stage if isinstance(deployment, ServiceDeployment) else "",
        waits=tuple(hook.id for hook in deployment.awaited_hooks)
        if isinstance(deployment, ServiceDeployment)
        else (),
    )


def ongoing_classic(cluster: str, service: Service) -> Ongoing | None:
    """Return what the classic deployments tell, for where AWS shows us no service deployments."""
    ours = next((d for d in service.deployments if d.rollout_state == RolloutState.IN_PROGRESS), None)
    if ours is None:
        return None
    before = next((d for d in service.deployments if d.rollout_state == RolloutState.COMPLETED), None)
    stop = stop_command(cluster, service.name, arn="", before=before.task_definition) if before else ""
    return Ongoing(name=ours.id, status=RolloutState.IN_PROGRESS, created_at=ours.created_at, stop=stop)


def stop_command(cluster: str, service: str, *, arn: str, before: str) -> str:
    """Return the command that rolls a deployment back; without its *arn*, to the revision *before* it.

    Source: docs/aws-facts.md#stopping-a-deployment. *arn* may be the id of a CodeDeploy deployment.
    """
    if arn.startswith("d-"):
        return stop_command_of(arn)
    if arn:
        return f"aws ecs stop-service-deployment --stop-type ROLLBACK --service-deployment-arn {arn}"
    return (
        f"aws ecs update-service --cluster {shlex.quote(cluster)} "
        f"--service {shlex.quote(service)} --task-definition {short_id(before)}"
    )
