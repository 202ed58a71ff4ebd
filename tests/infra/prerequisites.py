"""What the tests that apply need; without it they are skipped and say so."""

from __future__ import annotations

import os

import pytest

needs_terraform = pytest.mark.skipif(
    os.environ.get("INFRA_TEST") != "1",
    reason="make infra-test runs it: it takes minutes and needs Terraform with its AWS provider",
)
