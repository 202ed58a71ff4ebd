"""The lifecycle stages of a blue/green, linear or canary deployment, in their order.

Sources: API Reference, ServiceDeployment (lifecycleStage) and DeploymentLifecycleHook (lifecycleStages, which
alone has PRE_PRODUCTION_TRAFFIC_SHIFT); docs/aws-facts.md#deployment-strategies.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from ecs_gpu_deploy.core.judge.verdict import Verdict, Waiting, spoken_span
from ecs_gpu_deploy.model import Service, ServiceDeployment
from ecs_gpu_deploy.result import Outcome

Stage = Literal[
    "RECONCILE_SERVICE",
    "PRE_SCALE_UP",
    "SCALE_UP",
    "POST_SCALE_UP",
    "TEST_TRAFFIC_SHIFT",
    "POST_TEST_TRAFFIC_SHIFT",
    "PRE_PRODUCTION_TRAFFIC_SHIFT",
    "PRODUCTION_TRAFFIC_SHIFT",
    "POST_PRODUCTION_TRAFFIC_SHIFT",
    "BAKE_TIME",
    "CLEAN_UP",
]
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)


def why_never(service: Service, stage: Stage) -> str:
    """Return why a deployment of *service* never comes to *stage*; "" where it does.

    Source: API Reference, ServiceDeployment (the stages are of deployments with two revisions side by side).
    """
    how = "with the strategy ROLLING"
    if service.deployment_controller != "ECS":
        how = f"by {service.deployment_controller}"
    elif service.strategy not in {"", "ROLLING"}:
        return ""
    return f"The service {service.name!r} is deployed {how}, which has no stage {stage}."


def at_stage(
    stage: Stage | None, deployment: ServiceDeployment | None, waiting: Waiting, seconds: float
) -> Verdict | None:
    """Return the verdict of a wait that was to end at *stage*, once that is reached or passed; else None.

    *seconds* is how long the rollout lasts. A stage that this version does not know is waited on. Source:
    docs/aws-facts.md#deployment-strategies.
    """
    if stage is None or deployment is None or waiting.rolling_back or waiting.stage not in STAGES:
        return None
    seen = STAGES.index(waiting.stage)
    if seen < STAGES.index(stage):
        return None
    past = "" if waiting.stage == stage else f", past {stage}"
    hook = f", where the hook {waiting.hook.id} waits for an answer" if waiting.hook is not None else ""
    return Verdict(
        outcome=Outcome.STARTED,
        reason=f"The deployment is at {waiting.stage}{past}, {spoken_span(seconds)} after it began{hook}; "
        "nobody waited further, so how it ends is not known.",
    )
