"""What RunTask replaces in single containers, as somebody writes it: container → settings.

The members are those of the API Reference, "ContainerOverride", and no others: RunTask takes no image.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from ecs_gpu_deploy.core.capacity.gpus import GpuRequest
from ecs_gpu_deploy.core.text import nearest
from ecs_gpu_deploy.errors import InvalidInput

_HINT: Final = "Write CONTAINER: {command: […], environment: {NAME: VALUE}}, in YAML or JSON."
_SIZES: Final[Mapping[str, str]] = {
    "cpu": "cpu",
    "memory": "memory",
    "memory-reservation": "memoryReservation",
}
"""Settings in CPU units and MiB, with their members in the API."""
_SETTINGS: Final = ("command", "environment", *_SIZES, "gpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerOverride:
    """What is replaced in `container`; None or empty leaves it as it is. Sizes are CPU units and MiB."""

    container: str
    command: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    gpu: GpuRequest | None = None

    def to_api(self) -> dict[str, Any]:
        """Write ContainerOverride without its name."""
        members: dict[str, Any] = {}
        if self.command is not None:
            members["command"] = list(self.command)
        if self.environment:
            members["environment"] = [
                {"name": name, "value": value} for name, value in self.environment.items()
            ]
        members |= self.sizes
        if self.gpu is not None:
            requirement = self.gpu.requirement
            members["resourceRequirements"] = [requirement] if requirement else []
        return members

    @classmethod
    def from_given(cls, container: str, given: object, *, option: str) -> Self:
        """Read the settings of one container; InvalidInput names the *option* and what is wrong in it."""
        if not isinstance(given, Mapping) or not given:
            raise InvalidInput(f"{option} has nothing to replace in {container[:60]!r}.", hint=_HINT)
        for name in given:
            if name not in _SETTINGS:
                near = nearest(str(name), _SETTINGS)
                meant = f" Is {near!r} meant?" if near else ""
                raise InvalidInput(
                    f"{option} has {str(name)[:60]!r} in {container[:60]!r}; RunTask replaces "
                    f"{', '.join(_SETTINGS)}.{meant}",
                    hint="What else changes needs a revision: image, or register.",
                )
        where = f"{option}: {container[:60]}"
        return cls(
            container=container,
            command=_command(given["command"], where) if "command" in given else None,
            environment=_environment(given.get("environment"), where),
            sizes={_SIZES[name]: _size(given[name], where, name) for name in _SIZES if name in given},
            gpu=_gpu(given["gpu"], where) if "gpu" in given else None,
        )


def container_overrides(given: Mapping[str, object], *, option: str) -> tuple[ContainerOverride, ...]:
    """Return what is replaced in each container; InvalidInput for what RunTask does not take, or for none."""
    if not given:
        raise InvalidInput(f"{option} names no container.", hint=_HINT)
    return tuple(
        ContainerOverride.from_given(str(container), settings, option=option)
        for container, settings in given.items()
    )


def _command(given: object, where: str) -> tuple[str, ...]:
    if isinstance(given, str):
        try:
            return tuple(shlex.split(given))
        except ValueError as error:
            raise InvalidInput(f"{where}: command cannot be split as a shell does ({error}).") from error
    if not isinstance(given, list) or not all(isinstance(word, str) for word in given):
        raise InvalidInput(f"{where}: command is not a list of texts.", hint="Put numbers in quotes.")
    return tuple(given)


def _environment(given: object, where: str) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(value, str | int) for value in given.values()):
        raise InvalidInput(
            f"{where}: environment is not a mapping of names to texts.",
            hint="RunTask can add and replace variables, but not remove any.",
        )
    return {str(name): _text(value) for name, value in given.items()}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _size(given: object, where: str, name: str) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        raise InvalidInput(f"{where}: {name} is not a whole number of 0 or more.")
    return given


def _gpu(given: object, where: str) -> GpuRequest:
    try:
        return GpuRequest.from_value(given)
    except ValueError as error:
        raise InvalidInput(f"{where}: gpu is no number of GPUs, ALL, or 0 for none.") from error
