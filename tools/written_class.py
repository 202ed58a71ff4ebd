"""What the data classes of the bundle share, whose own methods tools/compile_pack.py has written out.

It lies in the bundle as `ecs_gpu_deploy.written_class`. What the standard library puts on each class of this
kind is taken from one that it has made itself, so that each Python's is its own.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """Made by the standard library."""

    field: Any = dataclasses.field(default_factory=dict)


FACTORY: Final = _Made.__init__.__kwdefaults__["field"]  # type: ignore[index]
"""Stands as a field's default in `__init__` where a factory makes it."""
_KIND: Final = _Made.__dataclass_fields__["field"]._field_type  # type: ignore[attr-defined]
_TAKEN: Final = ("__dataclass_params__", "__match_args__", "__getstate__", "__setstate__", "__replace__")


def complete(body: dict[str, Any]) -> None:
    """Put into a class's body, its last statement being this call, what all have in common, and the fields.

    Their defaults go from there into the fields, since slots will have their names.
    """
    body |= _SHARED
    fields = body["__dataclass_fields__"] = {}
    for name in body["__slots__"]:
        default = body.pop(name, dataclasses.MISSING)
        made: Any = default if isinstance(default, dataclasses.Field) else dataclasses.field(default=default)
        made.name, made.type = name, body["__annotations__"][name]
        made.kw_only, made._field_type = True, _KIND
        fields[name] = made


def _repr(self: Any) -> str:
    shown = (field.name for field in dataclasses.fields(self) if field.repr)
    return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


def _refused(_: object, name: str, *value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot {'assign to' if value else 'delete'} field {name!r}")


_SHARED: Final = {name: getattr(_Made, name) for name in _TAKEN if hasattr(_Made, name)} | {
    "__repr__": _repr,
    "__setattr__": _refused,
    "__delattr__": _refused,
}
