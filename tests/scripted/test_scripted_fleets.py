"""Several services, and twenty rows of history, on the AWS that decides nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from scripted_aws import ScriptedAws, served
from scripted_fleet import Fleet, cluster_of
from scripted_names import arn, merged
from scripted_run import Ended, run
from scripted_state import State
from scripted_worlds import DEFAULTS

ONE = {"desired": 1, "lb": False, "breaker": "rollback"}
CRASH = [{"each": [4, 5, 55, 56], "id": "c", "exit": 1, "lives": 10}]
DENIED = {"error": "AccessDeniedException"}


def _world(**more: Any) -> dict[str, Any]:
    base = {"world": "one of several", "service": ONE, "old": [None], "expect": {}}
    return dict(merged(merged(DEFAULTS, base), more))


def _done(at: int, **more: Any) -> dict[str, Any]:
    tasks = [{"id": "n1", "at": 4, "load": 40}]
    return _world(old=[at - 8], tasks=tasks, phases=[[0, "rolling"], [at, "done"]], **more)


def _rolled_back() -> dict[str, Any]:
    phases = [[0, "rolling"], [140, "rolling_back", {"failed_after": 105}], [331, "rolled_back"]]
    return _world(tasks=CRASH, phases=phases)


def _failed() -> dict[str, Any]:
    service = {**ONE, "breaker": "on"}
    return _world(service=service, tasks=CRASH, phases=[[0, "rolling"], [140, "failed"]])


def _superseded() -> dict[str, Any]:
    tasks = [{"id": "n1", "at": 4, "leave": 70}, {"id": "x1", "at": 64, "rev": "other"}]
    phases = [[0, "rolling"], [60, "superseding"], [80, "superseded"]]
    return _world(revisions={1: {}, 99: {"tag": "v3"}}, tasks=tasks, phases=phases)


FLEETS = {
    "both succeed, and it takes as long as the slower one": (
        [_done(400), _done(80)],
        (0, ["succeeded", "succeeded"]),
        400,
    ),
    "AWS rolls one back while the others succeed": (
        [_done(80), _rolled_back(), _done(300)],
        (5, ["succeeded", "rolled_back", "succeeded"]),
        331,
    ),
    "one is left broken, one is rolled back: what may run badly counts": (
        [_rolled_back(), _failed(), _done(80)],
        (4, ["rolled_back", "failed", "succeeded"]),
        331,
    ),
    "somebody else deploys to one": (
        [_done(200), _superseded()],
        (9, ["succeeded", "superseded"]),
        200,
    ),
    "one is not seen any more after a minute": (
        [_done(300, faults=[{"of": "DescribeServices", "from": 60, **DENIED}]), _done(200)],
        (3, ["refused", "succeeded"]),
        200,
    ),
    "the second is not updated, and the third is left alone": (
        [_done(200), _done(200, faults=[{"of": "UpdateService", **DENIED}]), _done(200)],
        (3, ["succeeded", "refused", "cancelled"]),
        200,
    ),
}


@pytest.mark.parametrize("case", FLEETS)
def test_each_of_several_services_is_told_truly(case: str, tmp_path: Any) -> None:
    worlds, (code, outcomes), slowest = FLEETS[case]
    clusters = [cluster_of(number) for number in range(len(worlds))]
    more = [f"--service={arn('service', f'{name}/rag')}" for name in clusters[1:]]
    fleet = Fleet([ScriptedAws(State({**world, "run": "deploy"})) for world in worlds])
    with served(fleet):
        world = {**worlds[0], "run": " ".join(["deploy --parallel=true", *more])}
        ended = run(fleet, world, tmp_path)  # type: ignore[arg-type]
    assert not fleet.problems, ended.shown
    names = ["rag", *(f"{name}/rag" for name in clusters[1:])]
    found = {each["service"]: each["outcome"] for each in ended.result["services"]}
    assert (ended.code, found) == (code, dict(zip(names, outcomes, strict=True))), ended.shown
    assert ended.result["exit_code"] == code
    assert all(f"| `{name}` | {outcome} |" in ended.summary for name, outcome in found.items())
    seconds = fleet.now - fleet.parts[0].state.origin
    assert slowest <= seconds <= 1.1 * slowest + 30, ended.shown


def test_what_became_of_the_others_is_told_beside_the_worst(tmp_path: Any) -> None:
    denied = _done(200, faults=[{"of": "UpdateService", **DENIED}])
    worlds = [_rolled_back(), denied, _done(200)]
    first, second, third = "rag", *(f"{cluster_of(number)}/rag" for number in (1, 2))
    more = [f"--service={arn('service', name)}" for name in (second, third)]
    fleet = Fleet([ScriptedAws(State({**world, "run": "deploy"})) for world in worlds])
    with served(fleet):
        world = {**worlds[0], "run": " ".join(["deploy --parallel=true", *more])}
        ended = run(fleet, world, tmp_path)  # type: ignore[arg-type]
    assert ended.code == 3, ended.shown
    assert ended.result["reason"].startswith(f"{second}: AWS refused to update")
    assert ended.result["reason"].endswith(f" Rolled back: {first}. Not deployed: {third}.")
    told = [each for each in ended.result["findings"] if "ended with exit code 1" in each["message"]]
    assert [each["message"][: len(first) + 2] for each in told] == [f"{first}: "], ended.shown
    assert told[0]["hint"]


URL = "https://github.com/acme/rag/actions/runs"
NOBODY = "not recorded"
HISTORY = [
    # revision, status, what is told: kind, by, run, why
    (1, "SUCCESSFUL", ("deploy", "ann", f"{URL}/1", "")),
    (2, "SUCCESSFUL", ("deploy", "bob", f"{URL}/2", "")),
    (1, "SUCCESSFUL", ("rollback", "cyd", f"{URL}/3", "slow answers")),
    (2, "SUCCESSFUL", ("rollback", NOBODY, "", "")),
    (2, "SUCCESSFUL", ("redeploy", NOBODY, "", "")),
    (2, "SUCCESSFUL", ("redeploy", "ann", f"{URL}/6", "")),
    (3, "ROLLBACK_SUCCESSFUL", ("deploy", "dan", f"{URL}/7", "")),
    (3, "STOPPED", ("redeploy", NOBODY, "", "")),
    (4, "SUCCESSFUL", ("deploy", "eve", f"{URL}/9", "")),
    (1, "ROLLBACK_FAILED", ("rollback", "fay", f"{URL}/10", "")),
    (2, "SUCCESSFUL", ("rollback", NOBODY, "", "")),
    (5, "SUCCESSFUL", ("deploy", "gil", f"{URL}/12", "")),
    (5, "SUCCESSFUL", ("redeploy", "hal", f"{URL}/13", "")),
    (4, "SUCCESSFUL", ("rollback", "ida", f"{URL}/14", "5 leaks")),
    (6, "SUCCESSFUL", ("deploy", NOBODY, "", "")),
    (5, "SUCCESSFUL", ("rollback", NOBODY, "", "")),
    (7, "STOPPED", ("deploy", "jo", f"{URL}/17", "(stopped by kim: wrong day)")),
    (6, "SUCCESSFUL", ("rollback", "lea", f"{URL}/18", "")),
    (8, "SUCCESSFUL", ("deploy", "mia", f"{URL}/19", "")),
    (6, "SUCCESSFUL", ("rollback", "no_name", f"{URL}/20", "")),
    (9, "SUCCESSFUL", ("deploy", "ned", f"{URL}/21", "")),
]
STATUSES = {
    "SUCCESSFUL": "succeeded",
    "ROLLBACK_SUCCESSFUL": "rolled back",
    "ROLLBACK_FAILED": "rollback failed",
    "STOPPED": "stopped",
}


MORE = [
    (10, "SUCCESSFUL", ("deploy", "ola", f"{URL}/22", "")),
    (11, "SUCCESSFUL", ("deploy", NOBODY, "", "")),
    (10, "SUCCESSFUL", ("rollback", NOBODY, "", "")),
]
"""With these there are so many revisions that their tags are asked for a hundred a call."""


def _past(rows: list[Any]) -> tuple[dict[int, Any], list[dict[str, Any]]]:
    """Return the revisions with their tags, and the history that the scripted AWS shows."""
    revisions: dict[int, Any] = {}
    history = []
    for number, (revision, status, (kind, by, url, why)) in enumerate(rows, 1):
        deployment = f"80000000000000000{number:02d}"
        at = -86_400 * 20 + number * 3600
        history.append({"rev": revision, "status": status, "at": at, "number": deployment})
        is_first = revision not in revisions
        item = revisions.setdefault(revision, {"tags": {}, "definition": {"registeredAt": at - 20}})
        tags = item["tags"]
        if is_first:
            tags["ecs-gpu-deploy:version"] = "1"
            if by == NOBODY:
                item["definition"]["registeredAt"] -= 86_400
            else:
                tags |= {"ecs-gpu-deploy:actor": by, "ecs-gpu-deploy:run": url}
        elif by != NOBODY:
            who = f"by {by} in {url}"
            because = f" because {why}" if why else ""
            value = f"{deployment} {kind} 2026-11-03T00:{number:02d}:00Z {who}{because}"
            tags[f"ecs-gpu-deploy:deployment-{len(tags) % 10}"] = value
        if why.startswith("(stopped"):
            value = f"{deployment} stopped 2026-11-03T01:00:00Z by kim because wrong day"
            tags["ecs-gpu-deploy:deployment-9"] = value
    return revisions, history


@pytest.mark.parametrize("more", [[], MORE], ids=["shown one by one", "shown a hundred a call"])
def test_twenty_rows_of_history_are_told_truly(more: list[Any], tmp_path: Any) -> None:
    told = [*HISTORY, *more]
    revisions, history = _past(told)
    world = _world(run="history --all", revisions=revisions, history=history, runs=told[-1][0])
    aws = ScriptedAws(State(world))
    with served(aws):
        ended: Ended = run(aws, world, tmp_path)
    assert (ended.code, aws.problems) == (0, []), ended.shown
    rows = list(reversed(ended.result["history"]))
    found = [
        (
            int(row["task_definition_arn"].rpartition(":")[2]),
            row["outcome"],
            (row["kind"], row["by"], row["run_url"], row["why"]),
        )
        for row in rows
    ]
    wanted = [(revision, STATUSES[status], who) for revision, status, who in told]
    wrong = [pair for pair in zip(wanted, found, strict=True) if pair[0] != pair[1]]
    assert len(found) >= 20
    assert not wrong, json.dumps(wrong, indent=1)
