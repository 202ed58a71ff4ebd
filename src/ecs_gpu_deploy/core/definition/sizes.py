"""A task's size: CPU units of 1/1024 vCPU and MiB of memory, or as ECS also takes them, "4 vCPU" and "16 GB".

Source: API Reference, RegisterTaskDefinition, members cpu and memory ("String values are converted to an
integer").
"""

from __future__ import annotations

import re
from typing import Final

_UNITS_A_WHOLE: Final = 1024
_CPU: Final = re.compile(r"(?P<whole>[0-9]+)|(?P<number>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*vcpu", re.IGNORECASE)
_MEMORY: Final = re.compile(r"(?P<whole>[0-9]+)|(?P<number>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*gb", re.IGNORECASE)


def cpu_units(size: object) -> int | None:
    """Return a task's CPU in units of 1/1024 vCPU; None for what ECS takes for no CPU size.

    `4096`, "4096", "4 vCPU" and " .5vcpu" are read. Source: API Reference, RegisterTaskDefinition.
    """
    return _number(_CPU, size)


def memory_mib(size: object) -> int | None:
    """Return a task's memory in MiB; None for what ECS takes for no memory size, such as "16 GiB".

    `16384`, "16384", "16 GB" and "16gb" are read. Source: API Reference, RegisterTaskDefinition.
    """
    return _number(_MEMORY, size)


def _number(form: re.Pattern[str], size: object) -> int | None:
    match = form.fullmatch(str(size).strip())
    if match is None:
        return None
    return int(match["whole"]) if match["whole"] else round(float(match["number"]) * _UNITS_A_WHOLE)
