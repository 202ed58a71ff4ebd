"""The infrastructure's pages name what is there."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from terraform_run import INFRA, ROOT

CORRECTIONS = (ROOT / "docs/article-corrections.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \|.*$", CORRECTIONS, re.MULTILINE)
NAMED = sorted(set(re.findall(r"`((?:example-infra|example-service|tests)/[\w./]*)`", CORRECTIONS)))


def test_the_tables_of_variables_and_outputs_are_those_of_the_module() -> None:
    check = [sys.executable, INFRA / "docs.py", "--check"]
    ran = subprocess.run(check, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_all_28_errors_of_the_article_are_listed_in_order() -> None:
    assert [int(number) for number in ROWS] == list(range(1, 29))


@pytest.mark.parametrize("path", NAMED)
def test_what_the_corrections_name_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_variable_has_a_description_and_every_validation_is_a_sentence() -> None:
    text = (INFRA / "variables.tf").read_text(encoding="utf-8")
    blocks = re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL)
    assert [name for name, body in blocks if "description = " not in body] == []
    messages = re.findall(r'error_message = "(.*)"$', text, re.MULTILINE)
    assert [message for message in messages if not message.endswith((".", "…"))] == []
