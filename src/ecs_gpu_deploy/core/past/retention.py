"""Which revisions of a family may be deregistered."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ecs_gpu_deploy.core.past.revisions import Rollout
from ecs_gpu_deploy.model import short_id


def superfluous(
    revisions: Sequence[str],
    *,
    current: str,
    previous: str,
    rollouts: Sequence[Rollout],
    in_use: Collection[str],
    keep: int,
    others: Sequence[Sequence[Rollout]] = (),
) -> tuple[str, ...]:
    """Return the ARNs of the active *revisions* (newest first) that nothing needs, oldest first.

    Kept are the current one and all newer ones, the one before it, the *keep* newest that a rollback could
    go to (those that succeeded, else the next lower numbers), and what *in_use* names, as ARN, family:N or
    family, which is its newest revision. *others* are the rollouts (newest first) of other services that run
    this family: each keeps what it runs and as many that succeeded before.
    """
    numbers = {arn: int(arn.rpartition(":")[2]) for arn in revisions}
    now = int(current.rpartition(":")[2])
    older = [arn for arn in revisions if numbers[arn] < now]
    good = [r.task_definition for r in rollouts if r.succeeded and r.task_definition != current]
    candidates = dict.fromkeys((*good, *older))
    names = {short_id(name) for name in (current, previous, *in_use)}
    names |= {short_id(name) for name in list(candidates)[:keep]}
    names |= {short_id(arn) for arn in revisions[:1]}
    for own in others:
        ran = dict.fromkeys(r.task_definition for r in own if r.succeeded)
        names |= {short_id(name) for name in list(ran)[: keep + 1]}
    return tuple(arn for arn in reversed(older) if short_id(arn) not in names)
