"""status: what a service is and does now, on one screen."""

from __future__ import annotations

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.core.show.status_view import status_markdown, status_sentence, status_text
from ecs_gpu_deploy.facts import RevisionChosen, Section, ServiceSeen, StatusRead
from ecs_gpu_deploy.inputs.requests import StatusRequest
from ecs_gpu_deploy.result import Outcome
from ecs_gpu_deploy.steps.observe_status import observe_status


def run(context: Context, request: StatusRequest) -> Verdict:
    """Read what the service is and does, show it, and put it into the result. Changes nothing in AWS."""
    service = context.ecs.fetch_service(request.service)
    context.record(ServiceSeen(name=service.name))
    context.record(RevisionChosen(arn=service.task_definition))
    status = observe_status(context, service)
    context.record(StatusRead(status=status))
    context.record(Section(title="Now", text=status_markdown(status, service=service.name)))
    context.reporter.show(status_text(status, service=service.name))
    return Verdict(outcome=Outcome.SUCCEEDED, reason=status_sentence(status, service=service.name))
