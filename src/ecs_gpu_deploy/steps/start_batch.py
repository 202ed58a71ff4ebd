"""Start the tasks of a batch: RunTask in tens."""

from __future__ import annotations

from collections.abc import Iterator

from ecs_gpu_deploy.core.definition.task_request import TaskRequest
from ecs_gpu_deploy.core.judge.batch_request import A_CALL, client_token
from ecs_gpu_deploy.edges.aws.ecs_tasks import EcsTasks, Started


def start_tasks(
    edge: EcsTasks, request: TaskRequest, *, mark: str, round_number: int, wanted: int
) -> Iterator[Started]:
    """Start *wanted* tasks, ten a call, until one call finds no room for all of its ten.

    Gives what each call did, at once: what comes after it may be cut off. The client tokens, made of *mark*
    and round, make a repeated call harmless.
    """
    left, call = wanted, 0
    while left > 0:
        number = min(A_CALL, left)
        token = client_token(mark, round_number, call)
        started = edge.run(request.to_api(), count=number, token=token)
        left -= len(started.tasks)
        call += 1
        yield started
        if len(started.tasks) < number:
            return
