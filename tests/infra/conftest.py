"""What the tests of the infrastructure need; without it they are skipped and say so."""

from __future__ import annotations

import os
import shutil

import pytest

needs_terraform = pytest.mark.skipif(
    os.environ.get("INFRA_TEST") != "1" or shutil.which("terraform") is None,
    reason="make infra-test runs it: it takes minutes and needs Terraform with its AWS provider",
)


def pytest_configure(config: pytest.Config) -> None:
    """Let tests name what they need."""
    config.addinivalue_line("markers", "terraform: needs Terraform and its provider (make infra-test)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `terraform` outside `make infra-test`."""
    for item in items:
        if item.get_closest_marker("terraform"):
            item.add_marker(needs_terraform)
