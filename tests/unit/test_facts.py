"""Facts for the result: recorded one by one, read together after the end."""

from dataclasses import replace

import pytest

from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.facts import (
    BatchEnded,
    HistoryRead,
    ImageSeen,
    NextCommand,
    PreviousRevision,
    RevisionChosen,
    RollbackSent,
    RolloutShown,
    Section,
    ServiceSeen,
    TakenBack,
    known_from,
)
from ecs_gpu_deploy.result import Finding, NextStep, Outcome, PastDeployment, ServiceEnd, Severity

ENDED = Verdict(outcome=Outcome.FAILED, reason="It failed.")
FINDING = Finding(code="x", severity=Severity.INFO, message="Seen.")
SHOWN = RolloutShown(links={"Tasks": "https://example.com"})
BATCH = BatchEnded(verdict=ENDED, tasks=(), phases=(), diagnoses=(), exit_code=7)
PAST = (PastDeployment(task_definition_arn="a"),)
BEGAN = ServiceEnd(service="s", outcome=Outcome.CANCELLED, reason="It goes on.")
ENDED_WELL = ServiceEnd(service="s", outcome=Outcome.SUCCEEDED, reason="It runs.")
NOT_BEGUN = ServiceEnd(service="u", outcome=Outcome.CANCELLED, reason="It was not deployed.")
STILL_RUNNING = Finding(
    code="still-running",
    severity=Severity.WARNING,
    message="s: It goes on.",
    hint="To roll it back: stop",
    next_steps=(NextStep(purpose="To roll it back", command="stop"),),
    service="s",
    until_taken_back=True,
)
UNRELATED = replace(STILL_RUNNING, service="u")


@pytest.mark.parametrize(
    ("facts", "known"),
    [
        pytest.param([], {"service": "", "findings": ()}, id="nothing is known"),
        pytest.param(
            [ServiceSeen(name="s", previous="t:1")],
            {"service": "s", "previous_task_definition_arn": "t:1"},
            id="a service and what it runs",
        ),
        pytest.param(
            [ServiceSeen(name="s", previous="t:1"), PreviousRevision(arn="")],
            {"service": "s", "previous_task_definition_arn": ""},
            id="no revision before",
        ),
        pytest.param(
            [ServiceSeen(name="s", previous="t:1"), ServiceSeen(name="u")],
            {"service": "u", "previous_task_definition_arn": "t:1"},
            id="a service of which only the name is told",
        ),
        pytest.param(
            [ImageSeen(image="i:1", digest=""), ImageSeen(image="i@sha256:a", digest="sha256:a")],
            {"image": "i@sha256:a", "image_digest": "sha256:a"},
            id="the later image",
        ),
        pytest.param(
            [RevisionChosen(arn="t:1")],
            {"task_definition_arn": "t:1", "changed": {}},
            id="a revision that is there",
        ),
        pytest.param(
            [RevisionChosen(arn="t:1"), RevisionChosen(arn="t:2", registered=True)],
            {"task_definition_arn": "t:2", "changed": {"revision": "t:2 was registered"}},
            id="a revision that was registered",
        ),
        pytest.param([RollbackSent()], {"is_rollback_sent": True}, id="a rollback"),
        pytest.param(
            [STILL_RUNNING, UNRELATED, FINDING, NextCommand(command="stop"), TakenBack(service="s")],
            {
                "findings": (replace(STILL_RUNNING, hint="", next_steps=()), UNRELATED, FINDING),
                "next_command": "",
            },
            id="what was taken back is not stopped or taken back again",
        ),
        pytest.param(
            [TakenBack(service="s"), STILL_RUNNING, NextCommand(command="watch")],
            {"findings": (STILL_RUNNING,), "next_command": "watch"},
            id="what is found on the way back counts",
        ),
        pytest.param([SHOWN], {"shown": SHOWN}, id="what the summary shows"),
        pytest.param([NextCommand(command="watch")], {"next_command": "watch"}, id="a command"),
        pytest.param(
            [Section(title="A", text="1"), Section(title="B", text="2"), Section(title="A", text="3")],
            {"sections": {"A": "3", "B": "2"}},
            id="parts of the summary",
        ),
        pytest.param(
            [BEGAN, NOT_BEGUN, ENDED_WELL],
            {"services": {"s": ENDED_WELL, "u": NOT_BEGUN}},
            id="several services, of each the later end",
        ),
        pytest.param([BATCH], {"batch": BATCH}, id="a batch"),
        pytest.param([HistoryRead(deployments=PAST)], {"history": PAST}, id="the past"),
        pytest.param(
            [FINDING, RollbackSent(), FINDING], {"findings": (FINDING, FINDING)}, id="findings in their order"
        ),
    ],
)
def test_facts_say_together(facts, known):
    together = known_from(facts)
    assert {name: getattr(together, name) for name in known} == known
