"""Judge from observed facts whether the service is ready and whether it is alive; no I/O in here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Step(StrEnum):
    """Name the steps between process start and ready, in their order."""

    LIBRARIES = "importing libraries"
    DEVICE = "looking for the GPU"
    EMBEDDING_MODEL = "loading the embedding model"
    RERANKER = "loading the reranker"
    WARM_UP = "warming up"
    INDEX = "opening the index"
    READY = "ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Hold what is known at one moment; `seconds` since the process began to load."""

    step: Step
    seconds: float
    gpu_available: bool
    gpu_memory_allocated: bool
    cpu_allowed: bool
    models_loaded: bool
    passages: int
    index_required: bool
    draining: bool
    load_error: str | None
    device_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Hold the verdict: every check by name, those waived by ALLOW_CPU, and a sentence per failure."""

    ready: bool
    checks: dict[str, bool]
    waived: tuple[str, ...]
    reasons: tuple[str, ...]


def health_of(seen: Observation) -> Health:
    """Tell whether this task should get traffic.

    The first three checks are the article's, `models_loaded` being told by the loader instead of guessed;
    the status code follows the verdict (`return {...}, 503` is a 200 in FastAPI).
    `gpu_memory_allocated` sees PyTorch's own allocator in this process only, and that is where the models
    are.
    """
    loaded = seen.step is Step.READY
    checks = {
        "gpu_available": seen.gpu_available,
        "gpu_memory_allocated": seen.gpu_memory_allocated,
        "models_loaded": seen.models_loaded,
        "warmed_up": seen.models_loaded and seen.step in (Step.INDEX, Step.READY),
        "index_available": seen.passages > 0,
        "device_sound": seen.device_error is None,
        "accepting": not seen.draining,
    }
    waived = {"gpu_available", "gpu_memory_allocated"} if seen.cpu_allowed else set()
    if not seen.index_required:
        waived.add("index_available")
    sentences = {
        "gpu_available": "No GPU is visible: give the container a GPU (resourceRequirements) and set "
        "NVIDIA_DRIVER_CAPABILITIES=compute,utility, or set ALLOW_CPU=1.",
        "gpu_memory_allocated": "No model lies in GPU memory yet.",
        "models_loaded": f"Models are not loaded: {seen.step} for {seen.seconds:.0f} s.",
        "warmed_up": "The first inference has not run yet.",
        "index_available": "The index is empty: run python -m rag_service.ingest, or unset REQUIRE_INDEX.",
        "device_sound": f"The GPU is lost to this process: {seen.device_error}",
        "accepting": "The service is shutting down.",
    }
    failed = [name for name, passed in checks.items() if not passed and name not in waived]
    reasons = [sentences[name] for name in failed]
    if seen.load_error:
        reasons.insert(0, f"Loading failed: {seen.load_error}")
    elif not loaded and not failed:
        reasons.append(f"Not ready: {seen.step} for {seen.seconds:.0f} s.")
    return Health(
        ready=loaded and not reasons,
        checks=checks,
        waived=tuple(sorted(name for name in waived if not checks[name])),
        reasons=tuple(reasons),
    )


def is_alive(seen: Observation) -> bool:
    """Tell whether only a new process can help: a CUDA error that sticks to the context cannot be cured."""
    return seen.device_error is None and seen.load_error is None


def progress_of(seen: Observation) -> float:
    """Give the share of the steps that is done, 0 to 1."""
    steps = list(Step)
    return steps.index(seen.step) / (len(steps) - 1)
