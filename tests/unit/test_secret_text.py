"""What looks like a secret is hidden where it stands, and what only looks near is shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from ecs_gpu_deploy.core.definition.diff import diff_markdown, diff_text, difference
from ecs_gpu_deploy.core.definition.secret_text import hidden, hidden_words, looks_secret

TOKEN = "hf_" + "aB3" * 12
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
AWS_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKE1"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"serve {TOKEN} now", "serve *** now"),
        ("ghp_" + "a1B2" * 9, "***"),
        ("sk-proj-" + "a1B2" * 6, "***"),
        ("AKIA" + "ABCD1234" * 2, "***"),
        (JWT, "***"),
        (AWS_KEY, "***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n", "***\n"),
        ("token=hunter2", "token=***"),
        ("--api-key=hunter2 --port 80", "--api-key=*** --port 80"),
        ("--api-key hunter2 --port 80", "--api-key *** --port 80"),
        ("HF_TOKEN=hunter2 python serve.py", "HF_TOKEN=*** python serve.py"),
        ("https://x/y?a=1&access_token=hunter2&b=2", "https://x/y?a=1&access_token=***&b=2"),
        ("postgres://rag:hunter2@db:5432/rag", "postgres://rag:***@db:5432/rag"),
        ("redis://:hunter2@cache", "redis://:***@cache"),
        ("curl -H 'Authorization: Bearer hunter2hunter2'", "curl -H 'Authorization: Bearer ***'"),
        ("curl -H 'X-Auth-Token: hunter2' localhost", "curl -H 'X-Auth-Token: ***' localhost"),
        ('{"password":"hunter2","a":1}', '{"password":"***","a":1}'),
    ],
)
def test_it_is_hidden(text: str, shown: str) -> None:
    assert hidden(text) == shown
    assert hidden(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "--max-num-batched-tokens 8192 --tokenizer=mistralai/Mistral-7B --tokenizer-mode auto",
        "max_tokens=4096",
        "token=$HF_TOKEN",
        "--api-key ${API_KEY} --port 80",
        "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rag-AbCdEf:token::",
        "123456789012.dkr.ecr.eu-central-1.amazonaws.com/rag@sha256:" + "0a" * 32,
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "/opt/models/Qwen2-7B/snapshots/0123456789abcdef0123456789abcdef01234567",
        "curl -f http://localhost:8015/health || exit 1",
        "cache-key=abc",
        "",
    ],
)
def test_it_is_shown(text: str) -> None:
    assert hidden(text) == text
    assert not looks_secret(text)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["serve", "--api-key", "hunter2", "--port", "80"], ["serve", "--api-key", "***", "--port", "80"]),
        (["serve", "--api-key", "$KEY", "x"], ["serve", "--api-key", "$KEY", "x"]),
        (["serve", "--password", "--port", "80"], ["serve", "--password", "--port", "80"]),
        (["sh", "-c", "TOKEN=hunter2 serve"], ["sh", "-c", "TOKEN=*** serve"]),
        ([1, None, "a"], [1, None, "a"]),
    ],
)
def test_words_of_a_command_are_hidden(words: Sequence[object], shown: Sequence[object]) -> None:
    assert hidden_words(words) == shown


def _definition(**container: Any) -> dict[str, Any]:
    top = {name: container.pop(name) for name in ("tags", "volumes") if name in container}
    return {"family": "f", "containerDefinitions": [{"name": "a", "image": "x:1", **container}], **top}


@pytest.mark.parametrize(
    "definition",
    [
        pytest.param(_definition(command=["serve", "--api-key", "hunter2"]), id="a command"),
        pytest.param(_definition(entryPoint=["sh", "-c", "token=hunter2 serve"]), id="an entry point"),
        pytest.param(
            _definition(healthCheck={"command": ["CMD-SHELL", "curl http://a:hunter2@localhost"]}),
            id="a health check",
        ),
        pytest.param(_definition(dockerLabels={"db": "postgres://a:hunter2@b"}), id="a label by its value"),
        pytest.param(_definition(dockerLabels={"api-key": "hunter2"}), id="a label by its name"),
        pytest.param(_definition(tags=[{"key": "token", "value": "hunter2"}]), id="a tag by its name"),
        pytest.param(_definition(tags=[{"key": "a", "value": "password=hunter2"}]), id="a tag by its value"),
        pytest.param(
            _definition(
                volumes=[{"name": "v", "dockerVolumeConfiguration": {"labels": {"secret": "hunter2"}}}]
            ),
            id="a volume's label",
        ),
        pytest.param(
            _definition(logConfiguration={"logDriver": "x", "options": {"url": "https://a:hunter2@b"}}),
            id="a log option",
        ),
    ],
)
def test_a_diff_shows_no_secret_and_that_it_changed(definition: dict[str, Any]) -> None:
    other: dict[str, Any] = json.loads(json.dumps(definition).replace("hunter2", "hunter3"))
    for old, new in (({}, definition), (definition, {}), (definition, other)):
        changes = difference(old, new)
        told = repr(changes) + diff_text(changes) + diff_markdown(changes)
        assert "hunter" not in told
        assert "***" in told
    [change] = difference(definition, other)
    assert change.masked


@pytest.mark.parametrize(
    "part", ["x", "x/", "a-", "a://", "a=", "token ", "--", "token=", "aA1", ":@", "eyJ", "'"]
)
def test_a_long_text_costs_no_more_than_its_length(part: str) -> None:
    text = part * 100_000
    assert len(hidden(text)) <= len(text) + 300_000
