"""The infrastructure's pages name what is there."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from terraform_run import INFRA, ROOT

CORRECTIONS = (ROOT / "docs/article-corrections.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \|.*\| (.+) \|$", CORRECTIONS, re.MULTILINE)
BLOCKS = re.findall(
    r"^\| ([^|]+) \| ([^|]+) \|$", CORRECTIONS.partition("## Block by block")[2], re.MULTILINE
)[1:]
PATH = re.compile(r"`((?:example-infra|example-service|tests|docs|src)/[\w./-]+)`")
NAMED = sorted(set(PATH.findall(CORRECTIONS)))
MODULES = sorted(path.relative_to(INFRA) for path in INFRA.glob("modules/*"))
OF_THE_ARTICLE = [
    "aws_iam_openid_connect_provider.github",
    "aws_iam_role.github_actions",
    "aws_iam_role_policy.deploy",
    "Dockerfile",
    "aws_ecr_repository.ki_api",
    "aws_ecr_lifecycle_policy.ki_api",
    "aws_ecs_service.ki_api",
    "health endpoint",
    "aws_ecs_task_definition.ki_api",
    "aws_lb_target_group.ki_api",
    "GitHub Actions pipeline",
    "aws_secretsmanager_secret.openai_key",
    "aws_iam_role_policy.execution_secrets",
    "rollback: circuit breaker, revision, commit",
]
"""The article's blocks of code, in its order."""


def test_the_tables_of_variables_and_outputs_are_those_of_the_module() -> None:
    check = [sys.executable, INFRA / "docs.py", "--check"]
    ran = subprocess.run(check, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_all_28_errors_of_the_article_are_listed_in_order_each_with_a_place() -> None:
    assert [int(number) for number, _ in ROWS] == list(range(1, 29))
    assert [number for number, where in ROWS if not PATH.findall(where)] == []


def test_every_block_of_the_article_has_its_counterpart() -> None:
    blocks = [block.strip("`") for block, _ in BLOCKS]
    assert [block for block in blocks if block in OF_THE_ARTICLE] == OF_THE_ARTICLE
    assert [block for block, where in BLOCKS if not PATH.findall(where)] == []


@pytest.mark.parametrize("path", NAMED)
def test_what_the_corrections_name_exists(path: str) -> None:
    assert (ROOT / path).is_file()


@pytest.mark.parametrize(
    ("module", "tests"),
    [(".", "bad_input"), *((path.as_posix(), path.name) for path in MODULES)],
)
def test_every_variable_is_described_and_every_validation_is_a_sentence_and_tested(
    module: str, tests: str
) -> None:
    text = (INFRA / module / "variables.tf").read_text(encoding="utf-8")
    blocks = re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL)
    assert [name for name, body in blocks if "description = " not in body] == []
    bad_input = (INFRA / f"tests/{tests}.tftest.hcl").read_text(encoding="utf-8")
    refused = [name for name, body in blocks if "validation {" in body]
    assert [name for name in refused if not re.search(rf"\[[^]]*var\.{name}\b", bad_input)] == []
    messages = re.findall(r'error_message = "(.*)"$', text, re.MULTILINE)
    assert [message for message in messages if not message.endswith((".", "…"))] == []


def test_the_lock_of_checkov_has_names_versions_and_hashes_only() -> None:
    lines = (INFRA / "tests/checkov.txt").read_text(encoding="utf-8").splitlines()
    allowed = re.compile(r"[\w.\[\]-]+==[\w.!+-]+( ; [^/]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
    assert [line for line in lines if not allowed.fullmatch(line)] == []
    assert [line for line in lines if line.startswith("checkov==")] != []
