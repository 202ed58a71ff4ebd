"""Ask @cloud-copilot/iam-simulate what IAM would decide."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from iam_requests import IamRequest

FOLDER = Path(__file__).parent / "iam"


def verdicts(
    requests: Iterable[IamRequest],
    *,
    principal: str,
    policies: Iterable[Mapping[str, Any]] = (),
) -> dict[IamRequest, str]:
    """Return Allowed, ImplicitlyDenied or ExplicitlyDenied of each request; raise on an invalid one."""
    asked = list(dict.fromkeys(requests))
    document = {
        "identityPolicies": list(policies),
        "requests": [request.as_json(principal) for request in asked],
    }
    ran = subprocess.run(
        ["node", "judge.mjs"],
        cwd=FOLDER,
        input=json.dumps(document),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    answers = dict(zip(asked, json.loads(ran.stdout), strict=True))
    wrong = {request: answer for request, answer in answers.items() if answer.startswith("error")}
    assert not wrong, f"not a valid request: {wrong}"
    return answers
