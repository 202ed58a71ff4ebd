"""Decisions over lost answers and cancelled jobs: was it carried out, is it there, what may be said?"""

import pytest

from ecs_gpu_deploy.core.definition.provenance import Provenance, is_of, tags_of, told_by
from ecs_gpu_deploy.core.definition.service_fit import misfit
from ecs_gpu_deploy.core.judge.update_sent import deployment_made
from ecs_gpu_deploy.core.show.cancelled import cancelled_reason
from ecs_gpu_deploy.edges.aws import answers
from ecs_gpu_deploy.model import Service

BEFORE = {"id": "ecs-svc/1", "status": "PRIMARY", "taskDefinition": "rag:1"}
OURS = {"id": "ecs-svc/2", "status": "PRIMARY", "taskDefinition": "rag:2"}


def service(*deployments, **members):
    return Service.from_api({"serviceName": "rag", "deployments": list(deployments), **members})


@pytest.mark.parametrize(
    ("now", "made"),
    [
        pytest.param([BEFORE], "", id="nothing new"),
        pytest.param([OURS, {**BEFORE, "status": "ACTIVE"}], "ecs-svc/2", id="ours"),
        pytest.param([{**OURS, "taskDefinition": "rag:3"}], "", id="somebody else's"),
        pytest.param(
            [{**OURS, "id": "ecs-svc/3", "taskDefinition": "rag:3"}, {**OURS, "status": "ACTIVE"}],
            "ecs-svc/2",
            id="ours, superseded already",
        ),
        pytest.param([{**BEFORE, "taskDefinition": "rag:2"}], "", id="one that was there before"),
        pytest.param([], "", id="none at all"),
    ],
)
def test_what_an_update_made(now, made):
    found = deployment_made(service(BEFORE), service(*now), "rag:2")
    assert (found.id if found else "") == made


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        (answers.Throttled, True),
        (answers.NeverSent, True),
        (answers.Denied, True),
        (answers.Rejected, True),
        (answers.Missing, True),
        (answers.NoProxy, True),
        (answers.Passing, False),
        (answers.Unreachable, False),
        (answers.OddAnswer, False),
        (answers.HalfAnswer, False),
        (answers.Unclear, False),
    ],
)
def test_what_was_certainly_not_carried_out(kind, known):
    assert answers.was_not_carried_out(kind("told")) is known


COMMIT, DIGEST = "a" * 40, "sha256:" + "b" * 64
OF = Provenance(commit=COMMIT, digest=DIGEST, version="1", run="https://example.com/1")


@pytest.mark.parametrize(
    ("wanted", "same"),
    [
        pytest.param(OF, True, id="the same run"),
        pytest.param(
            Provenance(commit=COMMIT, digest=DIGEST, run="https://a.example/2"), True, id="a re-run"
        ),
        pytest.param(Provenance(commit="c" * 40, digest=DIGEST), False, id="another commit"),
        pytest.param(Provenance(commit=COMMIT, digest="sha256:dd"), False, id="a tag that was moved"),
        pytest.param(Provenance(commit=COMMIT, digest=DIGEST, reason="late"), False, id="another reason"),
    ],
)
def test_a_revision_comes_from_the_same(wanted, same):
    assert is_of(told_by(tags_of(OF)), wanted) is same


def test_a_revision_that_is_not_tagged_by_us_is_not_taken():
    assert not is_of({}, Provenance())


NETWORK = {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}}
SHOWN = {"deploymentConfiguration": {"maximumPercent": 200, "minimumHealthyPercent": 100}}
FARGATE = {"launchType": "FARGATE", **NETWORK}


@pytest.mark.parametrize(
    ("definition", "members", "why"),
    [
        pytest.param({}, {}, "", id="bridge on EC2"),
        pytest.param({"networkMode": "awsvpc"}, NETWORK, "", id="awsvpc with a network"),
        pytest.param({"networkMode": "awsvpc"}, SHOWN, "no network configuration", id="awsvpc without"),
        pytest.param({"networkMode": "awsvpc"}, {}, "", id="awsvpc where AWS shows nothing of it"),
        pytest.param({"networkMode": "host"}, NETWORK, "mode host takes none", id="a network for host"),
        pytest.param({}, NETWORK, "mode bridge takes none", id="a network for bridge"),
        pytest.param({"networkMode": "awsvpc", "cpu": "256", "memory": "512"}, FARGATE, "", id="Fargate"),
        pytest.param({"networkMode": "awsvpc", "memory": "512"}, FARGATE, "no cpu.", id="without cpu"),
        pytest.param({"networkMode": "awsvpc"}, FARGATE, "no cpu and no memory", id="Fargate without both"),
        pytest.param(
            {"networkMode": "awsvpc"},
            {"capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT"}], **NETWORK},
            "no cpu and no memory",
            id="Fargate by its provider",
        ),
        pytest.param(
            {"networkMode": "awsvpc", "cpu": "1", "memory": "1", "requiresCompatibilities": ["EC2"]},
            FARGATE,
            "lacks FARGATE",
            id="not for Fargate",
        ),
    ],
)
def test_what_the_service_shows_that_aws_would_refuse(definition, members, why):
    found = misfit(definition, service(**members))
    assert why in found
    assert bool(found) == bool(why)


@pytest.mark.parametrize(
    ("command", "changes", "reason"),
    [
        ("deploy", [], "The job was cancelled before the service was updated: nothing was changed."),
        (
            "deploy",
            ["rag:2 was registered"],
            "The job was cancelled before the service was updated: rag:2 was registered.",
        ),
        (
            "push",
            ["the image may have been pushed"],
            "The job was cancelled: the image may have been pushed.",
        ),
        ("watch", [], "The job was cancelled: nothing was changed."),
    ],
)
def test_a_cancelled_job_says_what_it_changed(command, changes, reason):
    assert cancelled_reason(command, changes) == reason
