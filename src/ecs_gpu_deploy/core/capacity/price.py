"""What GPU time and instances cost: by what somebody gave, else by the price list, else not known.

Source: AWS's Price List, as price_list.py has it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ecs_gpu_deploy.core.capacity.price_list import price_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a GPU costs an hour; None where that is not known. `source` says where it comes from."""

    gpu_hour: float | None
    source: str

    def of_gpu_seconds(self, seconds: float) -> float | None:
        """Return what so many GPU-seconds cost."""
        return None if self.gpu_hour is None else self.gpu_hour * seconds / 3600


def price_for(instance_type: str, region: str, gpus: float, *, given: float | None) -> Price:
    """Return the price of a GPU of an instance of that type with so many *gpus*."""
    if given is not None:
        return Price(gpu_hour=given, source="gpu-hourly-cost")
    known = price_of(instance_type, region) if instance_type else None
    if known is None or gpus <= 0:
        what = f"of {instance_type} in {region}" if instance_type else "of these instances"
        return Price(gpu_hour=None, source=f"price {what} not known: set gpu-hourly-cost")
    usd, date = known
    return Price(gpu_hour=usd / gpus, source=f"{instance_type} in {region}, on demand, USD, {date}")
