"""Start sooner: what modules make as they load, patterns and data classes, is made when it is first used.

Half of the start went into them, and most of a run uses few. `loading` is put around the import of the
program: while it lasts `re.compile` and `dataclasses.dataclass` give stand-ins to the modules named below.
Outside of it nothing is changed, and tests that import a module by itself see the plain ones.
"""

from __future__ import annotations

import dataclasses
import gc
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

_PACKAGES: Final = frozenset(
    {"ecs_gpu_deploy", "boto3", "botocore", "dateutil", "jmespath", "tenacity", "urllib3", "yaml"}
)
_PLAIN: Final = {"frozen": True, "slots": True, "kw_only": True}
_compile, _dataclass = re.compile, dataclasses.dataclass


@contextmanager
def loading() -> Iterator[None]:
    """Let modules that are imported in the block make their patterns and data classes late."""
    collects = gc.isenabled()
    gc.disable()  # what modules make as they load is not garbage
    re.compile, dataclasses.dataclass = _late_pattern, _late_dataclass
    try:
        yield
    finally:
        gc.freeze()  # and stays to the end
        if collects:
            gc.enable()
        re.compile, dataclasses.dataclass = _compile, _dataclass


class LatePattern:
    """A regular expression that is compiled when something of it is asked for."""

    def __init__(self, *given: Any) -> None:
        self._given = given

    def __getattr__(self, name: str) -> Any:
        pattern = _compile(*self._given)
        for method in ("search", "match", "fullmatch", "sub", "split", "findall", "finditer", "pattern"):
            self.__dict__[method] = getattr(pattern, method)
        return getattr(pattern, name)


def _late_pattern(pattern: Any, flags: Any = 0) -> Any:
    caller = str(sys._getframe(1).f_globals.get("__name__", "")).partition(".")[0]
    return LatePattern(pattern, flags) if caller in _PACKAGES else _compile(pattern, flags)


def _late_dataclass(cls: type | None = None, /, **options: Any) -> Any:
    if cls is None and options == _PLAIN:
        return _late_class
    return _dataclass(cls, **options)


def _late_class(cls: type) -> type:
    """Return *cls* with its slots, fields that are fixed, and an `__init__` written at its first call.

    What else dataclass writes is written when it is first used. A class that is not plain is made at once.
    """
    told = inspect.get_annotations(cls)
    names = [name for name, kind in told.items() if not str(kind).startswith("ClassVar")]
    body = {name: value for name, value in vars(cls).items() if name not in {"__dict__", "__weakref__"}}
    own = {name: body.pop(name, dataclasses.MISSING) for name in names}
    if not _is_plain(cls, told, own.values()):
        return _dataclass(frozen=True, slots=True, kw_only=True)(cls)
    fields: dict[str, Any] = {}
    for base in reversed(cls.__mro__[1:]):
        fields |= _FIELDS.get(base, {})
    inherited = {name for base in cls.__mro__[1:] for name in getattr(base, "__slots__", ())}
    maker = _Maker(own)
    body["__doc__"] = cls.__doc__ or cls.__name__  # without one dataclass would work out a signature
    body["__slots__"] = tuple(name for name in names if name not in inherited)
    body["__dataclass_fields__"] = maker
    body |= {name: maker.stand_in(name) for name in ("__init__", *_WHOLE)}
    body |= {"__setattr__": _refused, "__delattr__": _refused}
    body.setdefault("__getstate__", _getstate)
    body.setdefault("__setstate__", _setstate)
    made = type(cls)(cls.__name__, cls.__bases__, body)
    made.__qualname__ = cls.__qualname__
    maker.owner = made
    _FIELDS[made] = fields | own
    return made


_FIELDS: Final[dict[type, Mapping[str, Any]]] = {}
"""The fields of each late class with their defaults, its bases' among them."""
_WHOLE: Final = ("__repr__", "__eq__", "__hash__")


def _is_plain(cls: type, told: Mapping[str, Any], defaults: Iterable[Any]) -> bool:
    """Say whether nothing in a class is of the kinds that dataclass alone should understand."""
    return (
        all(isinstance(kind, str) and "InitVar" not in kind for kind in told.values())
        and vars(cls).keys().isdisjoint({"__init__", "__setattr__", "__eq__", "__hash__", "__repr__"})
        and all(base in _FIELDS or not hasattr(base, "__dataclass_fields__") for base in cls.__mro__[1:])
        and all(default.init for default in defaults if isinstance(default, dataclasses.Field))
    )


class _Maker:
    """Writes the methods of one class; as its `__dataclass_fields__`, when somebody asks for its fields."""

    owner: Any

    def __init__(self, own: Mapping[str, Any]) -> None:
        self._own = own

    def __get__(self, _: object, cls: type) -> Any:
        """Return the fields; this stands where dataclass will put them."""
        self._make_whole()
        return self.owner.__dataclass_fields__

    def stand_in(self, name: str) -> Callable[..., Any]:
        """Return what stands for a method until it is written."""

        def first(instance: Any, *given: Any, **values: Any) -> Any:
            if name == "__init__":
                if vars(self.owner).get(name) is first:
                    self.owner.__init__ = _init_of(_FIELDS[self.owner], self.owner)
            else:
                self._make_whole()
            return getattr(self.owner, name)(instance, *given, **values)

        return first

    def _make_whole(self) -> None:
        """Have dataclass write the methods; its defaults go where the slots are, so those are put back."""
        cls = self.owner
        if vars(cls).get("__dataclass_fields__") is not self:
            return
        for name in ("__init__", "__setattr__", "__delattr__", "__dataclass_fields__", *_WHOLE):
            delattr(cls, name)
        slots = {name: vars(cls)[name] for name in cls.__slots__}
        defaults = {name: value for name, value in self._own.items() if value is not dataclasses.MISSING}
        for name, value in defaults.items():
            setattr(cls, name, value)
        _dataclass(frozen=True, kw_only=True)(cls)
        for name in defaults:
            if name in slots:
                setattr(cls, name, slots[name])
            elif name in vars(cls):
                delattr(cls, name)


def _init_of(fields: Mapping[str, Any], cls: type) -> Callable[..., None]:
    """Write the `__init__` of a frozen class, whose fields are given by name."""
    around: dict[str, Any] = {"_set": object.__setattr__, "_none": dataclasses.MISSING}
    heads, lines = [], []
    for number, (name, default) in enumerate(fields.items()):
        value = name
        if isinstance(default, dataclasses.Field) and default.default_factory is not dataclasses.MISSING:
            around[f"_{number}"] = default.default_factory
            heads.append(f"{name}=_none")
            value = f"_{number}() if {name} is _none else {name}"
        else:
            around[f"_{number}"] = default.default if isinstance(default, dataclasses.Field) else default
            heads.append(name if around[f"_{number}"] is dataclasses.MISSING else f"{name}=_{number}")
        lines.append(f" _set(self, {name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()")
    text = f"def __init__(self{''.join(f', {head}' for head in ('*', *heads) if heads)}):\n"
    exec(text + "\n".join(lines or [" pass"]), around)  # noqa: S102  (as dataclass itself does)
    made: Callable[..., None] = around["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


def _refused(_: object, name: str, *value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot {'assign to' if value else 'delete'} field {name!r}")


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _setstate(self: Any, state: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)
