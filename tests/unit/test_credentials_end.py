"""When credentials end: what the environment tells, and no more."""

import math

import pytest

from ecs_gpu_deploy.core.identity.credentials_end import credentials_end
from ecs_gpu_deploy.inputs.requests import Foresight

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE"}
TEMPORARY = {**KEYS, "AWS_SESSION_TOKEN": "token"}


@pytest.mark.parametrize(
    ("environment", "more", "end"),
    [
        ({}, {}, None),
        (KEYS, {}, math.inf),
        (TEMPORARY, {}, None),
        ({**TEMPORARY, "AWS_CREDENTIAL_EXPIRATION": "1970-01-01T01:00:00Z"}, {}, 3600.0),
        ({**TEMPORARY, "AWS_CREDENTIAL_EXPIRATION": "1970-01-01T02:00:00+01:00"}, {}, 3600.0),
        ({**TEMPORARY, "AWS_CREDENTIAL_EXPIRATION": "soon"}, {}, None),
        ({**TEMPORARY, "AWS_CREDENTIAL_EXPIRATION": "1970-01-01T01:00:00Z"}, {"profile": "dev"}, None),
        (TEMPORARY, {"role": "arn:aws:iam::123456789012:role/deploy"}, math.inf),
    ],
)
def test_credentials_end(environment, more, end):
    assert credentials_end(environment, **more) == end


def test_what_lasts_is_reckoned_from_now():
    assert Foresight(session_ends=3600.0).session_seconds(600.0) == 3000.0
    assert Foresight().session_seconds(600.0) is None
