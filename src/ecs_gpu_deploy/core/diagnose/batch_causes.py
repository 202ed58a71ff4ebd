"""Say why a batch ended as it did, from everything that was seen of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ecs_gpu_deploy.core.capacity.compute import Compute, capacity_words
from ecs_gpu_deploy.core.diagnose.diagnosis import diagnoses_of, diagnosis
from ecs_gpu_deploy.core.judge.batch import BatchHistory, BatchWatched, ends_of
from ecs_gpu_deploy.core.judge.culprit import side_containers
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.model import LogTail, Task
from ecs_gpu_deploy.result import Diagnosis, Judgement, Outcome

_UNEXPLAINED = frozenset({"container-exit", "unknown"})


def failed_tasks(watched: BatchWatched, history: BatchHistory) -> tuple[Task, ...]:
    """Return the tasks that ended and failed."""
    return tuple(
        history.tasks[end.task_arn] for end in ends_of(watched, history) if end.judgement is Judgement.FAILED
    )


def batch_diagnoses(
    watched: BatchWatched, history: BatchHistory, verdict: Verdict, log_tails: Sequence[LogTail]
) -> tuple[Diagnosis, ...]:
    """Return the causes of what failed, best first; none where nothing did."""
    if verdict.outcome == Outcome.SUCCEEDED:
        return ()
    unplaced = verdict.outcome == Outcome.NO_CAPACITY
    reasons = tuple(dict.fromkeys(refusal.told for refusal in history.refusals)) if unplaced else ()
    failed = failed_tasks(watched, history)
    found = diagnoses_of(
        tasks=(*failed, *(history.unplaced if unplaced else ())),
        log_tails=log_tails,
        reasons=reasons,
        side=side_containers(
            watched.definition, named={watched.named, *(name for task in failed for name in task.overridden)}
        ),
    )
    found = tuple(_in_words_of(watched.compute, each) for each in found)
    short = history.shortage
    if not unplaced or short is None:
        return found
    why = diagnosis(short.code, evidence=reasons, message=short.message, hint=short.hint)
    return (why, *(each for each in found if each.code != short.code))


def is_explained(diagnoses: Sequence[Diagnosis]) -> bool:
    """Say whether a cause is known, so that a log line that comes late adds nothing to it."""
    return any(each.code not in _UNEXPLAINED for each in diagnoses)


def _in_words_of(compute: Compute, found: Diagnosis) -> Diagnosis:
    words = capacity_words(compute, found.code)
    return replace(found, message=words[0], hint=words[1]) if words else found
