"""Which repositories ECR fills itself."""

from __future__ import annotations

import pytest

from ecs_gpu_deploy.core.image.pull_through_cache import caching_prefix


@pytest.mark.parametrize(
    ("prefixes", "repository", "prefix"),
    [
        pytest.param((), "docker-hub/library/nginx", "", id="there is no rule"),
        pytest.param(("docker-hub",), "docker-hub/library/nginx", "docker-hub", id="the prefix is a rule's"),
        pytest.param(("docker-hub",), "docker-hubs/nginx", "", id="a slash ends every prefix"),
        pytest.param(("docker-hub",), "docker-hub", "", id="a rule's prefix alone is no repository of it"),
        pytest.param(("team", "team/hub"), "team/hub/nginx", "team/hub", id="the longest one decides"),
        pytest.param(("ROOT",), "rag", "ROOT", id="ROOT is for every repository"),
        pytest.param(("ROOT", "quay"), "quay/rag", "quay", id="that has no rule of its own"),
    ],
)
def test_the_rule_that_fills_a_repository(prefixes: tuple[str, ...], repository: str, prefix: str) -> None:
    assert caching_prefix(prefixes, repository) == prefix
