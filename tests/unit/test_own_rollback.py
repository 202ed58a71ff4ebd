"""What is said of a rollback that we asked for, and for how long its end is waited for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rollout_looks import BACK_TO_OLD, OURS_GOING, WATCHED, service, unplaced

from ecs_gpu_deploy.core.judge.own_rollback import rollback_seconds, rollback_sentence
from ecs_gpu_deploy.core.judge.phases import PhaseFacts, PhaseName
from ecs_gpu_deploy.core.judge.timing import HealthTiming
from ecs_gpu_deploy.core.judge.verdict import Verdict, Waiting
from ecs_gpu_deploy.result import Outcome

BACK = Verdict(outcome=Outcome.ROLLED_BACK, reason="AWS rolled the service back to f:1.")
BADLY = Verdict(outcome=Outcome.FAILED, reason="The rollout failed and so did its rollback.")
EMPTY = replace(service(), running_count=0)


@pytest.mark.parametrize(
    ("shown", "answer", "rest", "said"),
    [
        pytest.param(
            BACK_TO_OLD,
            BACK,
            {},
            "The rollback to f:1 that on-timeout asks for ended after 1 min 5 s: 2 of 2 tasks run.",
            id="it ended well",
        ),
        pytest.param(
            replace(BACK_TO_OLD, desired_count=1, running_count=1),
            BACK,
            {},
            "The rollback to f:1 that on-timeout asks for ended after 1 min 5 s: 1 of 1 task runs.",
            id="one task",
        ),
        pytest.param(
            EMPTY,
            BADLY,
            {"events": [unplaced(1), unplaced(2)]},
            "The rollback to f:7 that on-timeout asks for did not end well: The rollout failed and so "
            f"did its rollback. Now nothing runs (0 of 2 tasks). AWS says: {unplaced(2).message}",
            id="nothing runs, and what blocks it",
        ),
        pytest.param(
            OURS_GOING,
            Waiting(note="AWS rolls back.", rolling_back=True),
            {},
            "The rollback to f:7 that on-timeout asks for was requested and had not ended after 1 min 5 s: "
            "2 of 2 tasks run; AWS rolls back.",
            id="it goes on",
        ),
        pytest.param(
            OURS_GOING,
            Waiting(rolling_back=True),
            {"unseen": "the job was cancelled meanwhile"},
            "The rollback to f:7 that on-timeout asks for was requested, and AWS carries it out; its end was "
            "not seen: the job was cancelled meanwhile.",
            id="nobody looked",
        ),
    ],
)
def test_a_rollback_is_told_as_far_as_it_was_seen(shown, answer, rest, said):
    told = rollback_sentence(
        WATCHED,
        shown,
        answer,
        asked_for="f:7",
        option="on-timeout",
        seconds=65.0,
        **{"events": (), **rest},
    )
    assert told == said


def test_the_end_of_a_rollback_is_waited_for_as_long_as_old_tasks_may_take_to_start_load_and_serve():
    facts = PhaseFacts(
        placement_timeout=900,
        timing=HealthTiming(grace=0, load_balancer=None, container=None),
        healthy_seconds=50,
        deregistration_delay=120,
        given={PhaseName.LOAD: 100, PhaseName.START: 10},
    )
    # They leave in 120 + 30 + 60, start in 10, load in 100, and the target group takes 50 + 60.
    assert rollback_seconds(facts) == 210 + 10 + 100 + 110
