"""The worlds of the scripted AWS, read from `worlds/*.yml` and laid over their defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from scripted_names import merged

FOLDER = Path(__file__).with_name("worlds")
OUTCOMES = {
    0: "succeeded",
    2: "invalid",
    3: "refused",
    4: "failed",
    5: "rolled_back",
    6: "timed_out",
    7: "failed",
    8: "no_capacity",
    9: "superseded",
    10: "cancelled",
}
KEYS = {
    # the case
    *("world", "source", "run", "image", "bare", "environment", "cancel", "expect"),
    # what AWS shows
    *(
        "service",
        "containers",
        "definition",
        "revisions",
        "history",
        "runs",
        "images",
        "untagged",
        "archived",
        "cache_rules",
    ),
    *("instances", "old", "tasks", "phases", "failed", "events", "auto_events", "logs", "run_task", "stop"),
    "answer",
    *("other", "other_deployment", "services", "cluster", "providers", "groups", "activities", "alarms"),
    "subnets",
    *(
        "faults",
        "patch",
        "lags",
        "skew",
        "lenient",
        "list_lag",
        "before",
        "first",
        "keep_history",
        "new",
        "under_way",
    ),
    *("no_service", "no_log_group", "no_roles", "codedeploy", "files"),
}
EXPECTED = {
    *(
        "exit",
        "outcome",
        "diagnoses",
        "any_of",
        "first_of",
        "not_diagnoses",
        "says",
        "says_not",
        "at",
        "changes",
    ),
    *("max_calls", "deploys", "deploys_not", "no_diagnoses", "updates", "succeeds_only_with", "phases_under"),
    *("marks", "appspec", "configuration"),
    # what plan foresees: whether it fits, and between which seconds it ends
    *("fit", "foreseen"),
}
DEFAULTS: Mapping[str, Any] = {
    "run": "deploy",
    "service": {"desired": 2, "min": 100, "max": 200, "lb": False, "breaker": "rollback"},
    "containers": [{"gpus": 1}],
    "revisions": {1: {}},
    "history": [{"rev": 1}],
    "images": {"v1": "v1", "v2": "v2", "v3": "v3"},
    "instances": [{"id": "i1"}, {"id": "i2"}, {"id": "i3"}, {"id": "i4"}],
    "old": [None, None],
}


def load() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (kind, world) of every world, whole."""
    for file in sorted(FOLDER.glob("*.yml")):
        document = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        common = merged(DEFAULTS, document.get("common") or {})
        for item in document["worlds"]:
            ends = item["expect"].get("either", [item["expect"]])
            unknown = set(item) - KEYS | {key for end in ends for key in end} - EXPECTED
            assert not unknown, f"{file.name}: {item['world']}: unknown {sorted(unknown)}"
            assert item["source"], f"{item['world']}: no source"
            yield document["kind"], merged(common, item)


def worlds() -> Iterator[tuple[str, str, str]]:
    """Yield kind, sentence and source of every world, for the page of scenarios."""
    for kind, world in load():
        yield kind, world["world"], world["source"]
