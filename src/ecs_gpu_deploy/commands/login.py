"""login: log Docker in to registries of ECR for later steps; the login outlives the run."""

from __future__ import annotations

from ecs_gpu_deploy.context import Context
from ecs_gpu_deploy.core.image.registry import RegistryWish
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.edges.aws.ecr_repository import fetch_registry_login
from ecs_gpu_deploy.edges.docker.config import UsersConfig
from ecs_gpu_deploy.edges.docker.docker import Docker
from ecs_gpu_deploy.facts import Changed, LoggedIn
from ecs_gpu_deploy.inputs.requests import LoginRequest
from ecs_gpu_deploy.result import Finding, Outcome, Severity


def run(context: Context, request: LoginRequest) -> Verdict:
    """Log in to each registry, and return the verdict; what is refused is raised."""
    config = UsersConfig()
    docker = Docker(config, clock=context.clock, show=context.reporter.block, mask=context.mask)
    docker.check()
    wishes = request.registries or (RegistryWish(),)
    logins = {login.registry: login for login in (fetch_registry_login(context.aws, w) for w in wishes)}
    hosts: list[str] = []
    for login in logins.values():
        docker.login(login)
        hosts.append(login.registry)
        context.record(LoggedIn(registries=tuple(hosts)))
        context.record(Changed(subject=login.registry, what=f"Docker is logged in to {login.registry}"))
        context.reporter.say(f"Docker is logged in to {login.registry}")
    context.record(
        Finding(
            code="login-stays",
            severity=Severity.INFO,
            message=f"The login outlives this step, where Docker keeps logins ({config.path}), for 12 hours.",
            hint="\n".join(f"To log out: docker logout {host}" for host in hosts),
        )
    )
    return Verdict(outcome=Outcome.SUCCEEDED, reason=f"Docker is logged in to {', '.join(hosts)}.")
