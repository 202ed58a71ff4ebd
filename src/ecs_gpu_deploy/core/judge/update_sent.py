"""What a service tells of an UpdateService whose answer was lost: was it carried out?

What was just made may be missing for a while (docs/aws-facts.md#eventual-consistency).
"""

from __future__ import annotations

from typing import Final

from ecs_gpu_deploy.model import Deployment, Service

LOOK_PAUSES: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds before each look: half a minute in which nothing shows tells that nothing was done."""
CANCELLED_PAUSES: Final = (0.0, 0.2, 0.4, 0.8)
"""The same for a cancelled job, which has seconds: that nothing shows by then tells nothing."""


def deployment_made(before: Service, now: Service, task_definition: str) -> Deployment | None:
    """Return the deployment of *task_definition* that is in *now* and was not in *before*, if any.

    It may be superseded already, so it need not be the PRIMARY one (docs/aws-facts.md#classic-deployments).
    """
    known = {deployment.id for deployment in before.deployments}
    new = [d for d in now.deployments if d.id not in known and d.task_definition == task_definition]
    return next((d for d in new if d.status == "PRIMARY"), new[0] if new else None)
