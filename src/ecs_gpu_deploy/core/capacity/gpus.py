"""How a container asks for GPUs: the one reading of it, from an input or out of a task definition.

Sources: Developer Guide, "Specifying GPUs in an Amazon ECS task definition"; API Reference,
ResourceRequirement and NvidiaMpsAllocation; docs/aws-facts.md#gpu-request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self, TypeGuard

_NUMBER: Final = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,6}))?|\.([0-9]{1,6})")
HINT: Final = (
    'A GPU request is a whole number ("1"), a fraction of one GPU like "0.25" (g6f and gr6f instances), '
    '"ALL", 0 for none, or {memory: MiB, maxComputePercent: 1 to 100} to share one (MPS).'
)


class GpuKind(StrEnum):
    """The four ways to ask for GPUs."""

    COUNT = "count"
    FRACTION = "fraction"
    ALL = "all"
    MPS = "mps"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuRequest:
    """What one container asks: whole GPUs, a fraction of one, all there are, or a share of one by NVIDIA MPS.

    A count of 0 asks for none. `memory_mib` is MPS's part of the GPU's memory, `compute_percent` its limit.
    """

    kind: GpuKind = GpuKind.COUNT
    count: int = 0
    fraction: float = 0.0
    memory_mib: int = 0
    compute_percent: int | None = None

    @classmethod
    def from_value(cls, value: object) -> Self:
        """Read "1", "0.25", "ALL", 0, or a mapping of MPS's settings, bare or inside `sharingStrategy`.

        "1.0" is 1 and ".5" is 0.5. Raises ValueError with one sentence for anything else, "1.5" too: more
        than one GPU comes in whole ones (docs/aws-facts.md#gpu-request).
        """
        if isinstance(value, Mapping):
            return cls._from_mapping(value)
        text = "" if isinstance(value, bool) else str(value).strip()
        if text.upper() == "ALL":
            return cls(kind=GpuKind.ALL)
        found = _NUMBER.fullmatch(text)
        if not found:
            raise ValueError(f"The GPU value {value!r} is not a whole number, a fraction of one GPU, or ALL.")
        whole, fraction = int(found[1] or 0), float(f"0.{found[2] or found[3] or 0}")
        if not fraction:
            return cls(count=whole)
        if whole:
            raise ValueError(f"The GPU value {value!r} is more than one GPU and not a whole number of them.")
        return cls(kind=GpuKind.FRACTION, fraction=fraction)

    @classmethod
    def _from_mapping(cls, value: Mapping[Any, Any]) -> Self:
        settings: Any = value
        for wrapper in ("sharingStrategy", "nvidiaMps"):
            if isinstance(settings, Mapping) and wrapper in settings:
                settings = settings[wrapper]
        if not isinstance(settings, Mapping) or set(settings) - {"memory", "maxComputePercent"}:
            raise ValueError(f"The GPU request {dict(value)!r} cannot be read.")
        memory, percent = settings.get("memory"), settings.get("maxComputePercent")
        if not _is_whole(memory) or memory < 1:
            raise ValueError("A shared GPU needs memory, a whole number of MiB.")
        if percent is not None and not (_is_whole(percent) and 1 <= percent <= 100):
            raise ValueError(f"maxComputePercent is {percent!r}; 1 to 100 is meant for a shared GPU.")
        return cls(kind=GpuKind.MPS, memory_mib=memory, compute_percent=percent)

    @property
    def value(self) -> str:
        """Return `value` of the resource requirement: "1", "0.25", "ALL"; "" for none and for MPS."""
        match self.kind:
            case GpuKind.COUNT:
                return str(self.count) if self.count else ""
            case GpuKind.FRACTION:
                return f"{self.fraction:.6f}".rstrip("0")
            case GpuKind.ALL:
                return "ALL"
            case GpuKind.MPS:
                return ""

    @property
    def requirement(self) -> dict[str, Any] | None:
        """Return the entry for `resourceRequirements`, or None where no GPU is wanted."""
        if self.kind is GpuKind.MPS:
            share = {"memory": self.memory_mib}
            if self.compute_percent is not None:
                share["maxComputePercent"] = self.compute_percent
            return {"type": "GPU", "sharingStrategy": {"nvidiaMps": share}}
        return {"type": "GPU", "value": self.value} if self.value else None


def gpu_request_of(requirement: Mapping[str, Any]) -> GpuRequest:
    """Read one `resourceRequirements` entry of type GPU. Raises ValueError where it cannot be read."""
    sharing, value = requirement.get("sharingStrategy"), requirement.get("value")
    if sharing is not None and value is not None:
        raise ValueError("A GPU requirement has a value and a sharingStrategy; ECS takes one of them.")
    return GpuRequest.from_value(sharing if sharing is not None else "" if value is None else value)


def gpu_requests_of(container: Mapping[str, Any]) -> Iterable[GpuRequest]:
    """Give what one raw containerDefinition asks; nothing for 0 (docs/aws-facts.md#gpu-request)."""
    for requirement in container.get("resourceRequirements") or ():
        if requirement.get("type") == "GPU":
            request = gpu_request_of(requirement)
            if request.requirement is not None:
                yield request


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
