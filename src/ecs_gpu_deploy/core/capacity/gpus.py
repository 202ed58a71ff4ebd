"""How a container asks for GPUs: `resourceRequirements` of type GPU, all four ways.

Source: AWS page "Specifying GPUs in an Amazon ECS task definition", docs/aws-facts.md#gpu-request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class GpuKind(StrEnum):
    """The four ways to ask for GPUs (docs/aws-facts.md#gpu-request)."""

    COUNT = "count"
    FRACTION = "fraction"
    ALL = "all"
    MPS = "mps"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuRequest:
    """What one container asks: whole GPUs, a fraction of one, all there are, or an MPS share in MiB."""

    kind: GpuKind
    count: int = 0
    fraction: float = 0.0
    memory_mib: int = 0


def gpu_request_of(requirement: Mapping[str, Any]) -> GpuRequest | None:
    """Read one `resourceRequirements` entry of type GPU; "0" asks for nothing.

    Raises ValueError for a value that is neither an integer, a decimal below 1, nor ALL.
    """
    sharing = (requirement.get("sharingStrategy") or {}).get("nvidiaMps")
    if sharing is not None:
        return GpuRequest(kind=GpuKind.MPS, memory_mib=int(sharing.get("memory") or 0))
    text = str(requirement.get("value", "")).strip()
    if text.upper() == "ALL":
        return GpuRequest(kind=GpuKind.ALL)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if value < 0 or (value > 1 and value != int(value)) or value != value:  # noqa: PLR0124  (NaN)
        raise ValueError(f"The GPU value {text!r} is not a whole number, a decimal below 1, or ALL.")
    if value == 0:
        return None
    if value < 1:
        return GpuRequest(kind=GpuKind.FRACTION, fraction=value)
    return GpuRequest(kind=GpuKind.COUNT, count=int(value))


def gpu_requests_of(container: Mapping[str, Any]) -> Iterable[GpuRequest]:
    """Give what one raw containerDefinition asks."""
    for requirement in container.get("resourceRequirements") or ():
        if requirement.get("type") == "GPU":
            request = gpu_request_of(requirement)
            if request is not None:
                yield request
