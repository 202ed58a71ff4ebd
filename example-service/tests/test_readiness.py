"""What /health and /live say, from facts alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rag_service.readiness import Observation, Step, health_of, is_alive, progress_of

READY_ON_GPU = Observation(
    step=Step.READY,
    seconds=93.0,
    gpu_available=True,
    gpu_memory_allocated=True,
    cpu_allowed=False,
    models_loaded=True,
    passages=10,
    index_required=False,
    draining=False,
    load_error=None,
    device_error=None,
)
CASES = {
    "a GPU with models in its memory is ready": ({}, True, ""),
    "no GPU is not ready, whatever else holds": ({"gpu_available": False}, False, "No GPU is visible"),
    "no GPU is waived by ALLOW_CPU": (
        {"gpu_available": False, "gpu_memory_allocated": False, "cpu_allowed": True},
        True,
        "",
    ),
    "nothing in GPU memory is not ready": (
        {"gpu_memory_allocated": False},
        False,
        "No model lies in GPU memory",
    ),
    "loading is not ready and names the step": (
        {"step": Step.EMBEDDING_MODEL, "models_loaded": False},
        False,
        "loading the embedding model for 93 s",
    ),
    "loaded but not warm is not ready": ({"step": Step.WARM_UP}, False, "first inference"),
    "opening the index is not ready": ({"step": Step.INDEX}, False, "opening the index"),
    "an empty index is ready, or the first rollout could never finish": ({"passages": 0}, True, ""),
    "an empty index is not ready where REQUIRE_INDEX says so": (
        {"passages": 0, "index_required": True},
        False,
        "The index is empty",
    ),
    "draining is not ready": ({"draining": True}, False, "shutting down"),
    "a lost GPU is not ready": ({"device_error": "illegal memory access"}, False, "illegal memory access"),
    "a failed load is not ready": (
        {"load_error": "OSError: no model"},
        False,
        "Loading failed: OSError: no model",
    ),
}


@pytest.mark.parametrize(("changes", "ready", "words"), CASES.values(), ids=CASES.keys())
def test_readiness(changes: dict[str, object], ready: bool, words: str) -> None:
    health = health_of(replace(READY_ON_GPU, **changes))
    assert health.ready is ready
    assert words in " ".join(health.reasons)
    assert bool(health.reasons) is not ready


def test_the_articles_three_checks_are_there() -> None:
    assert {"gpu_available", "gpu_memory_allocated", "models_loaded"} <= set(health_of(READY_ON_GPU).checks)


@pytest.mark.parametrize(
    ("changes", "alive"),
    [
        ({}, True),
        ({"device_error": "device-side assert"}, False),
        ({"draining": True}, True),
        ({"step": Step.LIBRARIES}, True),
    ],
    ids=["sound", "after a sticky CUDA error", "while draining", "while loading"],
)
def test_liveness(changes: dict[str, object], alive: bool) -> None:
    assert is_alive(replace(READY_ON_GPU, **changes)) is alive


def test_progress_goes_from_nothing_to_all() -> None:
    shares = [progress_of(replace(READY_ON_GPU, step=step)) for step in Step]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
