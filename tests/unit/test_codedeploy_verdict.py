"""The verdict over a deployment of CodeDeploy's, a table of its states; the worlds have the rest."""

from __future__ import annotations

import pytest

from ecs_gpu_deploy.core.judge.codedeploy import CodeDeployment, CodeDeployState, EcsTarget
from ecs_gpu_deploy.core.judge.codedeploy_verdict import by_codedeploy
from ecs_gpu_deploy.core.judge.observed import Snapshot, Watched, history_at_start
from ecs_gpu_deploy.core.judge.verdict import Verdict
from ecs_gpu_deploy.model import Service
from ecs_gpu_deploy.result import Outcome

ID = "d-A7YW3F91L"
WATCHED = Watched(
    deployment_id="",
    codedeploy_id=ID,
    task_definition="rag:2",
    baseline=frozenset({"ecs-svc/1"}),
    started_at=0.0,
    timeout=3600.0,
    placement_timeout=900.0,
)


def _service(**primary):
    old = {"id": "ecs-svc/1", "status": "PRIMARY", "taskDefinition": "task-definition/rag:1"}
    return Service.from_api(
        {
            "serviceName": "rag",
            "desiredCount": 2,
            "deploymentController": {"type": "CODE_DEPLOY"},
            "taskSets": [old | primary],
        }
    )


def _deployment(status, **more):
    return CodeDeployment.from_api({"deploymentId": ID, "status": status, "createTime": 0.0, **more})


def _events(**statuses):
    api = {"lifecycleEvents": [{"lifecycleEventName": n, "status": s} for n, s in statuses.items()]}
    return EcsTarget.from_api(api)


def _judged(deployment, *, target=None, rollback=None, now=1000.0):
    state = CodeDeployState(deployment=deployment, target=target or EcsTarget(), rollback=rollback)
    service = _service()
    snapshot = Snapshot(at=now, service=service, codedeploy=state)
    return by_codedeploy(WATCHED, snapshot, service, history_at_start(WATCHED), now=now, facts=None)


FAILURE = {"autoRollbackConfiguration": {"enabled": True, "events": ["DEPLOYMENT_FAILURE"]}}
BACK = {"rollbackInfo": {"rollbackDeploymentId": "d-BACK"}}
HOOKS = {"revision": {"appSpecContent": {"content": '{"Hooks": [{"AfterInstall": "arn:x:function:probe"}]}'}}}
ALARM = {"errorInformation": {"code": "ALARM_ACTIVE", "message": "Activated alarms: <rag-5xx>"}}


@pytest.mark.parametrize(
    ("deployment", "rollback", "outcome", "says"),
    [
        pytest.param(
            _deployment("Failed", **FAILURE, completeTime=0.0),
            None,
            Outcome.FAILED,
            "began no rollback. Production traffic goes to rag:1, what ran before.",
            id="a rollback that is set and never comes",
        ),
        pytest.param(
            _deployment("Failed", **BACK),
            _deployment("Succeeded"),
            Outcome.ROLLED_BACK,
            "rolled the service back to rag:1",
            id="rolled back",
        ),
        pytest.param(
            _deployment("Stopped", **ALARM),
            None,
            Outcome.FAILED,
            "The deployment was stopped: Activated alarms: <rag-5xx>. CodeDeploy began no rollback.",
            id="an alarm in a group that does not go back",
        ),
        pytest.param(
            _deployment("Failed", **BACK),
            _deployment("Stopped"),
            Outcome.FAILED,
            "so did its rollback",
            id="the rollback is stopped",
        ),
    ],
)
def test_what_is_over(deployment, rollback, outcome, says):
    verdict = _judged(deployment, rollback=rollback)
    assert isinstance(verdict, Verdict)
    assert (verdict.outcome, says in verdict.reason) == (outcome, True), verdict.reason


@pytest.mark.parametrize(
    ("deployment", "target", "rolling_back", "note"),
    [
        (_deployment("Created"), None, False, ""),
        (_deployment("Warming"), None, False, ""),
        (_deployment("InProgress", **HOOKS), _events(AfterInstall="InProgress"), False, "the hook probe of"),
        (_deployment("InProgress", **HOOKS), _events(BeforeInstall="InProgress"), False, ""),
        (_deployment("InProgress"), _events(Install="Succeeded"), False, "keeps the original ones"),
        (_deployment("Ready"), None, False, "aws deploy continue-deployment --deployment-id d-A7YW3F91L"),
        (_deployment("Failed", **FAILURE, completeTime=990.0), None, True, "The deployment ended"),
        (_deployment("Stopped", **BACK), None, True, "rolls back with d-BACK"),
    ],
)
def test_what_is_waited_for(deployment, target, rolling_back, note):
    answer = _judged(deployment, target=target)
    assert not isinstance(answer, Verdict)
    assert (answer.rolling_back, note in answer.note) == (rolling_back, True), answer.note


@pytest.mark.parametrize(
    ("status", "code", "events", "goes_back"),
    [
        ("Failed", "TIMEOUT", ["DEPLOYMENT_FAILURE"], True),
        ("Stopped", "ALARM_ACTIVE", ["DEPLOYMENT_FAILURE"], False),
        ("Stopped", "ALARM_ACTIVE", ["DEPLOYMENT_STOP_ON_ALARM"], True),
        ("Stopped", "MANUAL_STOP", ["DEPLOYMENT_STOP_ON_ALARM"], False),
        ("Stopped", "MANUAL_STOP", ["DEPLOYMENT_STOP_ON_REQUEST"], True),
    ],
)
def test_on_which_end_the_group_goes_back_by_itself(status, code, events, goes_back):
    config = {"enabled": True, "events": events}
    found = _deployment(status, errorInformation={"code": code}, autoRollbackConfiguration=config)
    assert found.goes_back_by_itself is goes_back


def test_alarms_are_named_from_the_message_only_where_the_code_says_alarm():
    named = CodeDeployState(deployment=_deployment("Stopped", **ALARM)).as_service_deployment()
    assert named.triggered_alarms == ("rag-5xx",)
    other = {"errorInformation": {"code": "TIMEOUT", "message": "<x>"}}
    assert (
        not CodeDeployState(deployment=_deployment("Failed", **other))
        .as_service_deployment()
        .triggered_alarms
    )


def test_a_service_of_codedeploys_shows_its_task_sets():
    service = _service(externalId=ID, loadBalancers=[{"targetGroupArn": "g", "containerName": "rag"}])
    assert service.task_definition == "task-definition/rag:1"
    assert service.primary is not None
    assert service.primary.external_id == ID
    assert (service.balanced, service.has_network) == ((("rag", 0),), None)
