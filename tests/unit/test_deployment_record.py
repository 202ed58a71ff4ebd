"""What GitHub is told of a deployment."""

import pytest

from ecs_gpu_deploy.core.show.deployment_record import (
    artifact_bodies,
    checked_environment,
    state_of,
    status_body,
)
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.result import Outcome, Result

DIGEST = "sha256:" + "ab" * 32


def result(**changed):
    known = {
        "command": "deploy",
        "outcome": Outcome.SUCCEEDED,
        "exit_code": 0,
        "reason": "",
        "cluster": "arn:aws:ecs:eu-central-1:123456789012:cluster/ki",
        "service": "rag",
        "image": f"r/rag@{DIGEST}",
        "image_digest": DIGEST,
    }
    return Result(**{**known, **changed})


@pytest.mark.parametrize("outcome", Outcome)
def test_each_outcome_has_a_state_and_only_success_is_success(outcome):
    assert (state_of(outcome) == "success") == (outcome == Outcome.SUCCEEDED)
    assert state_of(outcome) in {"success", "failure", "error", "in_progress", "inactive"}
    records = artifact_bodies(result(outcome=outcome), environment="e", repository="rag", region="x")
    assert len(records) == (outcome == Outcome.SUCCEEDED)


def test_a_record_names_the_cluster_and_has_no_version_without_a_tag():
    [record] = artifact_bodies(result(), environment="e" * 200, repository="rag", region="")
    assert record["cluster"] == "ki"
    assert record["name"] == "r/rag"
    assert not {"version", "physical_environment"} & set(record)
    assert len(record["logical_environment"]) == 128


@pytest.mark.parametrize("changed", [{"image_digest": ""}, {"image": ""}, {"image_digest": "sha256:x"}])
def test_what_has_no_digest_is_not_recorded(changed):
    assert artifact_bodies(result(**changed), environment="e", repository="rag", region="x") == ()


def test_a_status_has_only_addresses_of_the_web_and_a_short_text():
    body = status_body("failure", text="x" * 500, log_url="javascript:x", address="https://a")
    assert body == {"state": "failure", "description": "x" * 139 + "…", "environment_url": "https://a"}


@pytest.mark.parametrize("name", ["true", "False", "x" * 129])
def test_what_names_no_environment_is_refused(name):
    with pytest.raises(InvalidInput):
        checked_environment(name)
    assert checked_environment("production") == "production"
