"""Which images a lifecycle policy takes: the examples of the ECR User Guide, and the traps of its rules."""

import json

import pytest

from ecs_gpu_deploy.core.image.lifecycle_policy import (
    DAY,
    new_repository_policy,
    rules_of,
    taken_away,
)
from ecs_gpu_deploy.core.image.stored_image import StoredImage

NOW = 100 * DAY


def rule(priority, status="any", kind="imageCountMoreThan", number=1, action="expire", **selection):
    return {
        "rulePriority": priority,
        "selection": {"tagStatus": status, "countType": kind, "countNumber": number, **selection},
        "action": {"type": action},
    }


def images(*tags, **pulled):
    """Return images pushed one a day, the last one today; "" is an untagged one, "a b" has two tags."""
    return [
        StoredImage(
            digest=f"{number}:{text}",
            tags=tuple(text.split()),
            pushed_at=NOW - (len(tags) - 1 - number) * DAY,
            pulled_at=pulled.get(text, 0.0),
        )
        for number, text in enumerate(tags)
    ]


def taken(stored, *rules):
    found = taken_away(rules_of(json.dumps({"rules": list(rules)})), stored, now=NOW)
    return {digest: one.priority for digest, one in found.items()}


CASES = {
    "a count keeps the newest": (images("a", "b", "c"), [rule(1, number=2)], {"0:a": 1}),
    "a count counts images, not tags": (images("a", "b x y z"), [rule(1, number=2)], {}),
    "an age is in days since the push": (
        images("a", "b", "c"),
        [rule(1, kind="sinceImagePushed", number=1)],
        {"0:a": 1},
    ),
    "untagged does not touch tagged ones": (images("", "a"), [rule(1, "untagged", number=1)], {}),
    "a prefix selects": (
        images("prod-1", "dev-1", "prod-2"),
        [rule(1, "tagged", tagPrefixList=["prod"])],
        {"0:prod-1": 1},
    ),
    "all prefixes must match": (
        images("prod-1", "prod-1 beta-1", "prod-2 beta-2"),
        [rule(1, "tagged", tagPrefixList=["prod", "beta"])],
        {"1:prod-1 beta-1": 1},
    ),
    "a pattern selects": (
        images("1-prod", "2-dev", "3-prod"),
        [rule(1, "tagged", tagPatternList=["*-prod"])],
        {"0:1-prod": 1},
    ),
    "a higher priority shields what it selects": (
        images("live-1", "a", "b"),
        [rule(1, "tagged", tagPatternList=["live-*"], number=99), rule(2, number=1)],
        {"1:a": 2},
    ),
    "the order in the file does not matter": (
        images("live-1", "a", "b"),
        [rule(2, number=1), rule(1, "tagged", tagPatternList=["live-*"], number=99)],
        {"1:a": 2},
    ),
    "a shielded image counts for the lower rule": (
        images("a", "b", "live-1"),
        [rule(1, "tagged", tagPatternList=["live-*"], number=99), rule(2, number=1)],
        {"0:a": 2, "1:b": 2},
    ),
    "an archived image cannot be pulled either": (
        images("a", "b"),
        [rule(1, kind="sinceImagePulled", number=1, action="transition")],
        {},
    ),
    "an image that nobody pulls is archived": (
        images("a", "b", "c"),
        [rule(1, kind="sinceImagePulled", number=1, action="transition")],
        {"0:a": 1},
    ),
    "an image that was pulled stays": (
        images("a", "b", "c", a=NOW),
        [rule(1, kind="sinceImagePulled", number=1, action="transition")],
        {},
    ),
    "what is not known takes nothing": (images("a", "b"), [rule(1, kind="someday")], {}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_policy(case):
    stored, rules, wanted = CASES[case]
    assert taken(stored, *rules) == wanted


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}"])
def test_a_policy_that_cannot_be_read_has_no_rules(text):
    assert rules_of(text) == ()


def test_a_repository_of_ours_keeps_latest_and_thirty_others():
    stored = images("latest", *(str(number) for number in range(35)), "")
    kept = taken_away(rules_of(new_repository_policy()), stored, now=NOW)
    assert "0:latest" not in kept
    assert len(kept) == 5, "30 of the 35 stay, and the untagged one is not yet a week old"
