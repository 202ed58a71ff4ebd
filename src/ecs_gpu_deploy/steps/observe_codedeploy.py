"""Look at a rollout that CodeDeploy makes: its deployment in the place of ECS's service deployment."""

from __future__ import annotations

import math
from dataclasses import replace

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.judge.codedeploy import CodeDeployState, EcsTarget
from ecs_gpu_deploy.core.judge.pace import TARGET_SECONDS
from ecs_gpu_deploy.core.judge.watch import Watch
from ecs_gpu_deploy.edges.aws.answers import HalfAnswer, Missing
from ecs_gpu_deploy.edges.aws.codedeploy import CodeDeploy
from ecs_gpu_deploy.model import Service, ServiceDeployment
from ecs_gpu_deploy.steps.observe_rollout import Looker, Seen


class CodeDeployLooker(Looker):
    """A look at CodeDeploy first, and at the tasks of the task set that it has made.

    Which task set that is shows some time after the deployment began: by its label at CodeDeploy, or by the
    externalId that ECS shows (docs/aws-facts.md#codedeploy).
    """

    def __init__(self, context: Context, *, watch: Watch, service: Service) -> None:
        super().__init__(context.aws, context.ecs, context.reporter, watch=watch, service=service)
        self._codedeploy_edge = CodeDeploy(context.aws)
        self._target, self._target_at = EcsTarget(), -math.inf

    def seen(self) -> Seen:
        """Return what is known now; CodeDeploy's deployment has an id of its own, and no ARN."""
        return replace(super().seen(), arn="", codedeploy_id=self._id)

    @property
    def _id(self) -> str:
        return self._watch.watched.codedeploy_id

    def _look_at_deployment(self, now: float) -> None:
        state = self._try("codedeploy", lambda: self._observed(now))
        if state is None:
            return
        self._heard_at = now
        self._codedeploy = state
        self._deployment = state.as_service_deployment()
        self._deployment_key = state.key
        self._learn_task_set(state.target.task_set)

    def _observed(self, now: float) -> CodeDeployState:
        """Return the deployment; its target only where that is due, or the status is another one.

        A view of AWS that lags behind may not know the deployment yet.
        """
        edge, before = self._codedeploy_edge, self._codedeploy
        try:
            ours = edge.observe(self._id)
        except Missing as error:
            raise HalfAnswer(error.text, code=error.code, request=error.request) from error
        is_news = before is None or before.deployment.status != ours.status
        if is_news or now - self._target_at >= TARGET_SECONDS:
            known = self._target.id
            seen = self._try("lifecycle", lambda: edge.observe_target(self._id, target_id=known))
            self._unseen.discard("lifecycle")  # no verdict waits for the events
            self._target, self._target_at = seen or self._target, now
        back = edge.observe(ours.rollback_id) if ours.rollback_id else None
        return CodeDeployState(deployment=ours, target=self._target, rollback=back)

    def _look_at_service(self, now: float) -> None:
        super()._look_at_service(now)
        made = next((each.id for each in self._service.deployments if each.external_id == self._id), "")
        self._learn_task_set(made)

    def _learn_task_set(self, task_set: str) -> None:
        watched = self._watch.watched
        if task_set and not watched.deployment_id:
            self._watch = replace(self._watch, watched=replace(watched, deployment_id=task_set))
            self._service_key = ()

    def _look_for_newer(self) -> ServiceDeployment | None:
        """Return none: CodeDeploy begins no second deployment of a group while one is under way."""
        return None
