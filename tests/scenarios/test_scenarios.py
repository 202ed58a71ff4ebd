"""Every scenario of the YAML files beside this one: the program as a process, the sandbox over HTTP.

A scenario says how its world differs from the sandbox's default one (`world`), what is deployed (`deploy`),
which signals the job gets (`cancel`), and what must come out (`expect`): outcome and with it the exit code,
`diagnoses` from the first on, `findings` that are no mere information, the `earliest` and `latest` second of
AWS's time for the verdict, what the program `says` and `says_not`, how many `calls` at most, which revision
the service `runs` in the end, and whether it `changes_nothing`.
"""

import json

import pytest

from ecs_gpu_deploy.result import Outcome
from scenario_run import POLL_INTERVAL, run, scenarios
from told_durations import differences

CHANGING = ("Update", "Register", "Create", "Delete", "Deregister", "Stop", "Run", "Start", "Tag", "Put")


@pytest.mark.parametrize("scenario", [pytest.param(each, id=each["scenario"]) for each in scenarios()])
def test_scenario(scenario, tmp_path):
    wanted = scenario["expect"]
    ran = run(scenario, tmp_path)
    result, shown = ran.result, ran.shown
    said = shown + json.dumps(result, ensure_ascii=False)

    assert result["outcome"] == wanted["outcome"], shown
    assert ran.exit_code == result["exit_code"] == Outcome(wanted["outcome"]).exit_code, shown
    assert "This is a bug of ours" not in shown
    assert result["reason"] in shown
    codes = [diagnosis["code"] for diagnosis in result["diagnoses"]]
    assert codes[: len(wanted.get("diagnoses", []))] == wanted.get("diagnoses", []), shown
    assert codes or wanted.get("diagnoses", codes) == []
    assert all(diagnosis["hint"] for diagnosis in result["diagnoses"])
    for part in wanted.get("says", []):
        assert part in said, shown
    for part in wanted.get("says_not", []):
        assert part not in shown
    findings = [finding["code"] for finding in result["findings"] if finding["severity"] != "info"]
    assert findings == wanted.get("findings", findings), shown
    assert wanted.get("earliest", 0) <= ran.waited <= wanted.get("latest", 3600), shown
    operations = [call.partition(".")[2] for call in ran.calls]
    for operation, most in wanted.get("calls", {}).items():
        assert operations.count(operation) <= most, f"{operation}: {operations.count(operation)}"
    if "runs" in wanted:
        assert ran.service["taskDefinition"].endswith(f"/{wanted['runs']}"), shown
    if wanted.get("changes_nothing"):
        assert not [name for name in operations if name.startswith(CHANGING)]
    if ran.waited > 120:
        assert len(ran.calls) <= ran.waited / 3 + 40, f"{len(ran.calls)} calls in {ran.waited} s"
    if "cancel" not in scenario:
        assert sum(result["api_calls"].values()) == len(ran.calls)
    if ran.after_aws is not None and not scenario.get("world", {}).keys() & {"faults", "deny"}:
        assert ran.after_aws <= POLL_INTERVAL + 1, f"{ran.after_aws} s after AWS"
    assert ran.summary.startswith("## ")
    assert not differences(shown, ran.summary, result), ran.summary
