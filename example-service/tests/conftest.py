"""Fixtures: an index of the sample documents, and a service over real loopback HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["LANCE_LOG"] = "error"

import torch

from rag_service.settings import Settings
from running import DOCUMENTS, Running, ingest_folder, running

torch.set_num_threads(1)
for name in Settings.model_fields:
    os.environ.pop(name.upper(), None)

# Not skipped but not collected, and said at the head of the run: CI has no GPU and knows no skips.
HAS_GPU = torch.cuda.is_available()
collect_ignore = [] if HAS_GPU else ["test_gpu.py"]


def pytest_report_header() -> str:
    return f"GPU: {torch.cuda.get_device_name() if HAS_GPU else 'none, test_gpu.py is left out'}"


def unless_it_can_be_had(reason: str | None) -> None:
    """Skip where something is missing on this machine; in CI that is a failure."""
    if reason is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"not skipped in CI: {reason}")
        pytest.skip(reason)


@pytest.fixture(scope="session")
def index_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = str(tmp_path_factory.mktemp("index"))
    ingest_folder(DOCUMENTS, uri)
    return uri


@pytest.fixture
def settings(index_uri: str) -> Settings:
    return tiny_settings(index_uri)


def tiny_settings(index_uri: str | Path, **changes: object) -> Settings:
    return Settings(
        **{
            "host": "127.0.0.1",
            "port": 0,
            "access_log": False,
            "metrics_port": 0,
            "auth": "off",
            "embedding_model": "tiny",
            "reranker_model": "tiny",
            "allow_cpu": True,
            "torch_threads": 1,
            "index_uri": str(index_uri),
            "drain_seconds": 0,
            "max_wait_ms": 1,
            "index_poll_seconds": 0.05,
            **changes,
        }  # type: ignore[arg-type]
    )


@pytest.fixture(scope="session")
def service(index_uri: str) -> Iterator[Running]:
    """One service for all tests that only read."""
    with running(tiny_settings(index_uri)) as started:
        yield started
