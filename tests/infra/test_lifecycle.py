"""A year of daily pushes under our lifecycle policy and under the article's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from lifecycle import Image, kept, stored_gb

INFRA = Path(__file__).parents[2] / "example-infra"
ROLLBACK_DEPTH = 10
PRICE = 0.10
"""USD per GB and month (Amazon ECR pricing, private repositories)."""

THE_ARTICLES: Mapping[str, Any] = {
    "rules": [
        {
            "rulePriority": 1,
            "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed", "countNumber": 7},
        },
        {
            "rulePriority": 2,
            "selection": {
                "tagStatus": "tagged",
                "tagPatternList": ["*"],
                "countType": "imageCountMoreThan",
                "countNumber": 10,
            },
        },
    ]
}


def our_policy() -> Mapping[str, Any]:
    """Read the policy from ecr.tf: HCL's object syntax is JSON's but for keys and equals signs."""
    text = (INFRA / "ecr.tf").read_text(encoding="utf-8")
    body = text[text.index("policy = jsonencode(") + len("policy = jsonencode(") :]
    body = body[: body.index("\n  })\n") + 4]
    for name in ("keep_live_images", "keep_images"):
        body = body.replace(f"var.{name}", _default(name))
    body = re.sub(r"(\w+)\s+= ", r'"\1": ', body)
    body = re.sub(r'(["\d}\]])\n(\s*")', r"\1,\n\2", body)
    policy: dict[str, Any] = json.loads(re.sub(r",(\s*[}\]])", r"\1", body))
    return policy


def _default(name: str) -> str:
    text = (INFRA / "variables.tf").read_text(encoding="utf-8")
    found = re.search(rf'variable "{name}" {{.*?default\s+= (\d+)', text, re.DOTALL)
    assert found is not None
    return found[1]


@dataclass(slots=True, kw_only=True)
class Year:
    """A repository and a service over a year; `runs` and `good` hold digests, newest last."""

    policy: Mapping[str, Any]
    images: tuple[Image, ...] = ()
    good: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    live_tags: bool = True

    @property
    def needed(self) -> set[str]:
        """What runs now and the good versions that a rollback may go back to."""
        return set(self.good[-1:]) | set(dict.fromkeys(reversed(self.good[-ROLLBACK_DEPTH - 1 :])))

    def push(self, day: int, *, tag: str, layers: tuple[tuple[str, float], ...]) -> None:
        """Push one image, as CI does for each commit."""
        image = Image(digest=f"sha256:{tag}", pushed_at=day, tags=frozenset({tag}), layers=layers)
        self.images = (*self.images, image)

    def run(self, tag: str) -> None:
        """Deploy a version with success; the workflow then tags its image."""
        digest = f"sha256:{tag}"
        self.good.append(digest)
        self.images = tuple(
            replace(image, tags=image.tags | {f"live-{tag}"})
            if image.digest == digest and self.live_tags
            else image
            for image in self.images
        )

    def clean_up(self, day: int) -> None:
        """Let the policy run, as ECR does within a day, and note what was lost of what is needed."""
        self.images = kept(self.images, self.policy, today=day)
        there = {image.digest for image in self.images}
        self.lost += [f"day {day}: {digest}" for digest in self.needed - there]


def layers_of(day: int) -> tuple[tuple[str, float], ...]:
    """Return a 4 GB image: code changes daily, dependencies monthly, base and wheels twice a year."""
    return (
        (f"base-and-wheels-{day // 182}", 3.0),
        (f"dependencies-{day // 30}", 0.96),
        (f"code-{day}", 0.04),
    )


def every_day(year: Year, day: int) -> None:
    """Each push is deployed with success."""
    year.run(f"c{day}")


def frozen_for_half_a_year(year: Year, day: int) -> None:
    """After day 40 pushes go on, but nothing is deployed until day 240."""
    if not 40 < day < 240:
        year.run(f"c{day}")


def every_third_fails(year: Year, day: int) -> None:
    """Two of three deployments are rolled back by ECS."""
    if day % 3 == 0:
        year.run(f"c{day}")


def back_to_an_old_one(year: Year, day: int) -> None:
    """On day 100 the service goes back to a version of day 30 and stays there for 60 days."""
    if day == 100:
        year.run("c30")
    elif not 100 < day < 160:
        year.run(f"c{day}")


def only_the_first_is_good(year: Year, day: int) -> None:
    """Nothing after the first image, which Terraform's first revision names, ever succeeds."""
    if day == 0:
        year.run("c0")


HISTORIES = [
    pytest.param(every_day, id="every push is deployed"),
    pytest.param(frozen_for_half_a_year, id="deployments are frozen for half a year"),
    pytest.param(every_third_fails, id="two of three deployments fail"),
    pytest.param(back_to_an_old_one, id="a rollback to a version 70 days old"),
    pytest.param(only_the_first_is_good, id="no deployment after the first succeeds"),
]


def a_year(policy: Mapping[str, Any], history: Callable[[Year, int], None], *, live_tags: bool) -> Year:
    """Push each day of a year, deploy as the history says, and let the policy run each night."""
    year = Year(policy=policy, live_tags=live_tags)
    for day in range(365):
        year.push(day, tag=f"c{day}", layers=layers_of(day))
        history(year, day)
        year.clean_up(day)
    return year


@pytest.mark.parametrize("history", HISTORIES)
def test_nothing_that_runs_or_that_a_rollback_needs_expires(history: Callable[[Year, int], None]) -> None:
    assert a_year(our_policy(), history, live_tags=True).lost == []


@pytest.mark.parametrize("history", HISTORIES[1:])
def test_the_articles_policy_expires_what_runs_or_is_rolled_back_to(
    history: Callable[[Year, int], None],
) -> None:
    assert a_year(THE_ARTICLES, history, live_tags=False).lost != []


def test_images_that_never_ran_are_cleared_away() -> None:
    year = a_year(our_policy(), frozen_for_half_a_year, live_tags=True)
    never_ran = [image for image in year.images if image.digest not in year.good]
    assert len(never_ran) <= int(_default("keep_images"))


def test_the_first_image_has_a_tag_that_keeps_it() -> None:
    variables = (INFRA / "variables.tf").read_text(encoding="utf-8")
    assert re.search(r'variable "image_tag" {[^}]*default\s+= "live-', variables)


def test_the_policy_has_no_rule_that_an_untagged_running_image_could_meet() -> None:
    """A tag that cannot move cannot leave the image that it named."""
    variables = (INFRA / "variables.tf").read_text(encoding="utf-8")
    assert re.search(r'variable "image_tag_mutability" {.*?default\s+= "IMMUTABLE"', variables, re.DOTALL)


def test_storage_figures_of_the_readme_are_these() -> None:
    """The README's table: ours after a year, the article's, and what the article says it would be."""
    ours = stored_gb(a_year(our_policy(), every_day, live_tags=True).images)
    theirs = stored_gb(a_year(THE_ARTICLES, every_day, live_tags=False).images)
    unshared = 365 * 4.0
    readme = (INFRA / "README.md").read_text(encoding="utf-8")
    for figure in (ours, theirs, unshared):
        assert f"{figure:.1f} GB" in readme, f"{figure:.1f} GB, {figure * PRICE:.2f} USD a month"
        assert f"{figure * PRICE:.2f} USD" in readme
