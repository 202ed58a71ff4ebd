"""Start the tasks of a batch: RunTask in tens, and again after a while for those that found no room."""

from __future__ import annotations

from collections.abc import Iterator

from ecs_gpu_deploy.core.definition.task_request import TaskRequest
from ecs_gpu_deploy.core.judge.batch_request import A_CALL, client_token, retry_wait
from ecs_gpu_deploy.edges.aws.ecs_tasks import EcsTasks, Started


class BatchStarter:
    """What is started again and when; the client tokens make a repeated call harmless."""

    def __init__(self, edge: EcsTasks, request: TaskRequest, *, mark: str) -> None:
        self._edge, self._request, self._mark = edge, request, mark
        self._round = 0
        self.tries = 0
        """How many rounds in a row left something to start."""
        self.next_try = 0.0
        """When the next round is due, in epoch seconds."""

    def start(self, missing: int, now: float) -> Iterator[Started]:
        """Start *missing* tasks, ten a call, until one call finds no room for all of its ten.

        Gives what each call did, at once: what comes after it may be cut off. Nothing where the next try is
        not due.
        """
        if missing <= 0 or now < self.next_try:
            return
        left, call = missing, 0
        while left > 0:
            number = min(A_CALL, left)
            token = client_token(self._mark, self._round, call)
            started = self._edge.run(self._request.to_api(), count=number, token=token)
            left -= len(started.tasks)
            call += 1
            yield started
            if len(started.tasks) < number:
                break
        self._round += 1
        if left < missing:
            self.tries = 0
        if left > 0:
            self.tries += 1
            self.next_try = now + retry_wait(self.tries)
