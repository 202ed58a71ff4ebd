"""An image's configuration as a registry has it."""

from __future__ import annotations

import json

import pytest

from ecs_gpu_deploy.core.image.image_config import image_config_of


def test_what_is_said_of_an_image() -> None:
    text = json.dumps(
        {
            "architecture": "arm64",
            "os": "linux",
            "config": {
                "Env": ["A=b=c", "D"],
                "User": "app",
                "Entrypoint": ["sh"],
                "Cmd": None,
                "Labels": None,
            },
            "history": [{"created_by": "RUN a"}, {"comment": "x"}],
        }
    )
    assert image_config_of(text) == {
        "platform": "linux/arm64",
        "history": ["RUN a"],
        "config": {
            "environment": {"A": "b=c", "D": ""},
            "user": "app",
            "entryPoint": ["sh"],
            "command": [],
            "labels": {},
        },
    }


def test_a_configuration_that_says_nothing() -> None:
    said = image_config_of("{}")
    assert (said["platform"], said["history"]) == (None, None)
    assert said["config"]["environment"] == {}


@pytest.mark.parametrize("text", ["[]", "no JSON", "3"])
def test_what_is_no_configuration(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - JSON's own among them
        image_config_of(text)
