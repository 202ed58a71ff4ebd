"""The discrete-event model of Amazon ECS: it predicts a rollout and drives the local AWS."""

from ecs_gpu_deploy.ecs_model.engine import Scheduler
from ecs_gpu_deploy.ecs_model.scripts import ContainerScript, Surroundings

__all__ = ["ContainerScript", "Scheduler", "Surroundings"]
