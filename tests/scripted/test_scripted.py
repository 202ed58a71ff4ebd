"""Each world of the scripted AWS: the program as a process, and what is true of that rollout."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from scripted_aws import CHANGING, ScriptedAws, serve
from scripted_names import digest_of
from scripted_pace import pace
from scripted_run import Ended, run
from scripted_state import State
from scripted_worlds import OUTCOMES, load

from told_durations import differences

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src" / "ecs_gpu_deploy"
KNOWN = frozenset(yaml.safe_load((HERE / "known.yml").read_text(encoding="utf-8")))
CASES = [
    pytest.param(
        kind,
        world,
        id=world["world"],
        marks=[pytest.mark.xfail(reason="known.yml", raises=AssertionError)]
        if world["world"] in KNOWN
        else [],
    )
    for kind, world in load()
]


def wrongs(world: Mapping[str, Any], aws: ScriptedAws, ended: Ended) -> list[str]:
    """Return in what the end differs from what is true; where two ends are true, from the first."""
    ends = world["expect"].get("either", [world["expect"]])
    found = [_wrongs(expect, aws, ended) for expect in ends]
    return [] if [] in found else found[0]


def _wrongs(expect: Mapping[str, Any], aws: ScriptedAws, ended: Ended) -> list[str]:
    result, found = ended.result, []
    text = json.dumps(result, ensure_ascii=False) + ended.shown
    if "Traceback" in ended.shown:
        found.append("a traceback")
    codes = _list(expect["exit"])
    if ended.code not in codes:
        found.append(f"exit code {ended.code}, not {codes}")
    outcomes = _list(expect.get("outcome") or [OUTCOMES[code] for code in codes])
    if result.get("outcome") not in outcomes:
        found.append(f"outcome {result.get('outcome')}, not {outcomes}")
    if result.get("exit_code") != ended.code:
        found.append(f"the result says exit code {result.get('exit_code')}, the process {ended.code}")
    diagnosed = [item["code"] for item in result.get("diagnoses", ())]
    found += [
        f"no diagnosis {code}, only {diagnosed}"
        for code in _list(expect.get("diagnoses"))
        if code not in diagnosed
    ]
    if expect.get("any_of") and not set(expect["any_of"]) & set(diagnosed):
        found.append(f"no diagnosis of {expect['any_of']}, only {diagnosed}")
    if expect.get("first_of") and (diagnosed or [""])[0] not in expect["first_of"]:
        found.append(f"the first diagnosis is not of {expect['first_of']}: {diagnosed}")
    found += [f"diagnosis {code}" for code in _list(expect.get("not_diagnoses")) if code in diagnosed]
    if expect.get("no_diagnoses") and diagnosed:
        found.append(f"diagnoses {diagnosed} of nothing")
    found += [f"does not say {part!r}" for part in _list(expect.get("says")) if str(part) not in text]
    found += [f"says {part!r}" for part in _list(expect.get("says_not")) if str(part) in text]
    earliest, latest = expect.get("at", (-1e9, 1e9))
    if not earliest <= aws.seconds <= latest:
        found.append(f"verdict at {aws.seconds:.0f} s, not between {earliest} and {latest}")
    if result and aws.state.command != "plan":
        found += differences(ended.shown, ended.summary, result)
    found += _changes(expect, aws, ended)
    found += _foreseen(expect, result.get("plan") or {})
    phases = [phase["seconds"] for phase in result.get("phases", ())]
    found += [f"a phase of {seconds} s" for seconds in phases if seconds < 0]
    longest = max(phases, default=0)
    if longest > expect.get("phases_under", 1e9):
        found.append(f"a phase of {longest:.0f} s")
    if len(aws.calls) > expect.get("max_calls", 100_000):
        found.append(f"{len(aws.calls)} calls, more than {expect['max_calls']}")
    return found


def _foreseen(expect: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
    """Hold what plan says against what a person says who knows AWS's pages."""
    capacity, predicted = plan.get("capacity") or {}, plan.get("predicted") or {}
    found = []
    if expect.get("fit", capacity.get("fit")) != capacity.get("fit"):
        found.append(f"it {capacity.get('fit')} ({capacity.get('why')}), not {expect['fit']}")
    if expect.get("fit") in {"fits", "crawls", "scales"} and predicted.get("ends") != "succeeds":
        found.append(f"it {predicted.get('ends')}, though it {expect['fit']}")
    earliest, latest = expect.get("foreseen", (-1e9, 1e9))
    if not earliest <= (predicted.get("seconds") or 0.0) <= latest:
        found.append(f"foreseen for {predicted.get('seconds')} s, not between {earliest} and {latest}")
    return found


def _changes(expect: Mapping[str, Any], aws: ScriptedAws, ended: Ended) -> list[str]:
    """Return what was changed in AWS that should not have been, or the other way round."""
    found = []
    carried_out = [call for call in aws.calls if call.error in {"", "lost"}]
    done = [call.operation for call in carried_out if call.operation.startswith(CHANGING)]
    default = {"deploy": ["RegisterTaskDefinition", "UpdateService"], "run-task": ["RunTask"]}
    if aws.state.is_codedeploy():
        default["deploy"] = ["RegisterTaskDefinition", "CreateDeployment"]
    allowed = _list(expect.get("changes", default.get(aws.state.command, [])))
    must = {name for name in allowed if not name.endswith("?")}
    may = {name.rstrip("?") for name in allowed}
    found += [f"{name} was called" for name in sorted(set(done) - may)]
    found += [f"{name} was not called" for name in sorted(must - set(done))]
    marked = any(call.operation == "TagResource" for call in carried_out)
    if expect.get("marks", marked) != marked:
        found.append("the revision was marked" if marked else "the revision was not marked")
    if done.count("UpdateService") > expect.get("updates", 1):
        found.append(f"UpdateService {done.count('UpdateService')} times")
    needed = expect.get("succeeds_only_with")
    if needed and ended.code == 0 and needed not in done:
        found.append(f"success without {needed}")
    if aws.state.updates:
        found += _deployed(expect, aws)
    if expect.get("configuration"):
        sent = aws.state.updates[0].get("deploymentConfiguration", {}) if aws.state.updates else {}
        found += [
            f"deploymentConfiguration has {name}: {sent.get(name)}"
            for name, value in expect["configuration"].items()
            if sent.get(name) != value
        ]
    if expect.get("appspec"):
        sent = aws.state.created[0]["revision"]["appSpecContent"]["content"] if aws.state.created else ""
        found += [
            f"the AppSpec lacks {part!r}: {sent}" for part in _list(expect["appspec"]) if part not in sent
        ]
    return found


def _deployed(expect: Mapping[str, Any], aws: ScriptedAws) -> list[str]:
    """Hold the revision that was deployed first against the one to deploy; `@name` is an image's digest."""
    name = aws.state.updates[0]["taskDefinition"].rpartition("/")[2]
    body = aws.state.definitions[name]["taskDefinition"]
    parts = [name, *(container["image"] for container in body["containerDefinitions"])]

    def is_there(wanted: str) -> bool:
        end = "@" + digest_of(wanted[1:]) if wanted.startswith("@") else wanted
        return any(part.endswith(end) for part in parts)

    found = [f"deployed {parts}, not {one}" for one in _list(expect.get("deploys")) if not is_there(str(one))]
    return found + [f"deployed {parts}" for one in _list(expect.get("deploys_not")) if is_there(str(one))]


def _list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


@pytest.mark.parametrize(("kind", "world"), CASES)
def test_the_program_tells_the_truth_about(kind: str, world: Mapping[str, Any], tmp_path: Path) -> None:
    with serve(State(world)) as aws:
        ended = run(aws, world, tmp_path)
        found = wrongs(world, aws, ended)
    report = os.environ.get("SCRIPTED_REPORT")
    if report:
        _record(Path(report), kind, world, aws=aws, ended=ended, found=found)
    assert not aws.problems, (aws.problems, ended.shown)
    assert not found, "\n".join(
        [*found, ended.shown[-3000:], json.dumps(ended.result.get("diagnoses"), indent=1)]
    )


def _record(
    report: Path, kind: str, world: Mapping[str, Any], *, aws: ScriptedAws, ended: Ended, found: list[str]
) -> None:
    line = {
        "kind": kind,
        "world": world["world"],
        "wrongs": found,
        "problems": aws.problems,
        **pace(aws),
        "seconds": round(aws.seconds, 1),
        "cpu": round(ended.cpu, 2),
        "wall": round(ended.wall, 2),
        "exit": ended.code,
        "reason": ended.result.get("reason"),
        "diagnoses": [item["code"] for item in ended.result.get("diagnoses", ())],
        "refused": sorted({f"{c.service}:{c.operation} {c.error}" for c in aws.calls if c.error}),
    }
    with report.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def test_what_is_known_to_be_untold_is_a_world() -> None:
    assert {world["world"] for _, world in load()} >= KNOWN


def test_no_two_worlds_have_one_sentence() -> None:
    names = [world["world"] for _, world in load()]
    assert len(names) == len(set(names))


def test_the_scripted_aws_and_the_model_do_not_know_each_other() -> None:
    ours = {file: _imports(file) for file in HERE.glob("*.py")}
    for file, names in ours.items():
        assert not [name for name in names if name.startswith("ecs_gpu_deploy")], file
    modules = {file.stem for file in ours}
    for file in SOURCE.rglob("*.py"):
        assert not {name.partition(".")[0] for name in _imports(file)} & modules, file


def _imports(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names
