"""The configuration file: defaults, profiles over them, and what is wrong named with its line."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.config_file import config_values
from ecs_gpu_deploy.inputs.options import OPTIONS
from ecs_gpu_deploy.inputs.settings import settings_from

FILE = """
region: eu-central-1
cluster: ki-staging
timeout: 30m
profiles:
  production:
    cluster: ki-live
    on-failure: rollback
    environment: {LOG_LEVEL: warning}
  staging:
"""
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "config.schema.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("profile", "cluster", "failed"),
    [
        ("", "ki-staging", "leave"),
        ("staging", "ki-staging", "leave"),
        ("production", "ki-live", "rollback"),
    ],
)
def test_a_profile_is_laid_over_the_defaults(profile: str, cluster: str, failed: str) -> None:
    settings = settings_from("deploy", config=config_values(FILE, name="e.yml", profile=profile))
    assert (settings.values.region, settings.values.timeout) == ("eu-central-1", 1800.0)
    assert (settings.values.cluster, settings.values.on_failure) == (cluster, failed)


def test_what_is_given_wins_over_the_profile() -> None:
    config = config_values(FILE, name="e.yml", profile="production")
    settings = settings_from("deploy", inputs={"cluster": "other", "timeout": ""}, config=config)
    assert (settings.values.cluster, settings.values.timeout) == ("other", 1800.0)


@pytest.mark.parametrize(
    ("text", "profile", "message", "hint"),
    [
        pytest.param(
            "region: a\nclutser: b\n",
            "",
            "e.yml, line 2: unknown key 'clutser' of the configuration file.",
            "Did you mean cluster?",
        ),
        pytest.param(
            '{"region": "a",\n "clutser": "b"}',
            "",
            "e.yml, line 2: unknown key 'clutser' of the configuration file.",
            "cluster?",
        ),
        pytest.param(
            "profiles:\n  production:\n    regoin: a\n",
            "",
            "e.yml, line 3: unknown key 'regoin' of the configuration file.",
            "Did you mean region?",
        ),
        pytest.param(
            "command: status\n",
            "",
            "e.yml, line 1: unknown key 'command' of the configuration file.",
            "Leave it out: command is said where the program is called",
        ),
        pytest.param(
            "xyzzy: 1\n",
            "",
            "e.yml, line 1: unknown key 'xyzzy' of the configuration file.",
            "docs/inputs.md",
        ),
        pytest.param(FILE, "prodction", "profile is 'prodction', which is not in e.yml.", "production?"),
        pytest.param(FILE, "eu", "profile is 'eu', which is not in e.yml.", "It has production, staging."),
        pytest.param("region: a\n", "eu", "profile is 'eu', which is not in e.yml.", "are none"),
        pytest.param(
            "region: a\nprofiles: [production]\n",
            "",
            "e.yml, line 2: profiles is not a mapping.",
            "name",
        ),
        pytest.param(
            "profiles:\n  production: fast\n",
            "",
            "e.yml, line 2: the profile 'production' is not a mapping of options.",
            "option: value",
        ),
        pytest.param(
            "region: a\ncluster: [a, b]\n",
            "",
            "e.yml, line 2: cluster takes one value, and a list stands there.",
            "cluster: VALUE",
        ),
        pytest.param(
            "profiles:\n  production:\n    timeout: {minutes: 3}\n",
            "",
            "e.yml, line 3: timeout takes one value, and a mapping stands there.",
            "timeout: VALUE",
        ),
        pytest.param("- region\n", "", "The configuration file 'e.yml' is not a mapping of options.", ""),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, profile: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as told:
        config_values(text, name="e.yml", profile=profile)
    assert told.value.message == message
    assert hint in told.value.hint


def test_the_schema_takes_what_the_program_takes() -> None:
    jsonschema.validate(yaml.safe_load(FILE), SCHEMA)
    for option in OPTIONS:
        if option.choices:
            jsonschema.validate({option.name: option.choices[0]}, SCHEMA)
    with pytest.raises(jsonschema.ValidationError, match="clutser"):
        jsonschema.validate({"clutser": "b"}, SCHEMA)
    with pytest.raises(jsonschema.ValidationError, match="later"):
        jsonschema.validate({"profiles": {"a": {"on-failure": "later"}}}, SCHEMA)
