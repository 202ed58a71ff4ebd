"""Ask the load balancer under which address a service answers: at the end of a success, in a few calls."""

from __future__ import annotations

from contextlib import suppress

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.edges.aws.answers import AwsError
from ecs_gpu_deploy.edges.aws.load_balancer import fetch_url
from ecs_gpu_deploy.edges.machine.signals import held_signals
from ecs_gpu_deploy.errors import DeployError
from ecs_gpu_deploy.facts import AddressSeen
from ecs_gpu_deploy.model import Service
from ecs_gpu_deploy.result import Outcome

_SECONDS = 15.0
"""How long it may take: it explains nothing, so nobody waits long for it."""


def see_address(context: Context, service: Service, verdict: Verdict) -> Verdict:
    """Record the service's address where *verdict* is a success and AWS tells it; return the verdict."""
    if verdict.outcome == Outcome.SUCCEEDED and service.target_group_arns:
        with suppress(AwsError, DeployError), held_signals(), context.aws.bounded(_SECONDS):
            context.record(AddressSeen(url=fetch_url(context.aws, service.target_group_arns)))
    return verdict
