"""Run in each Python: tell of the data classes and patterns of a pack all that a caller can see, as JSON.

Arguments: the file bootstrap.py, whose importer reads packs, and the pack.
"""

import copy
import dataclasses
import importlib
import inspect
import json
import marshal
import pickle
import re
import runpy
import sys

WRITTEN = {"__init__", "__eq__", "__hash__", "__repr__", "__setattr__", "__delattr__"}
WRITTEN_CLASS = "ecs_gpu_deploy.written_class"
OTHER_CHANGES = (setattr, 0), (delattr,)
LIBRARY = {"__getstate__", "__setstate__", "__replace__"}


def refusal(attempt, /, *given, **named):
    """Return what an attempt raises."""
    try:
        attempt(*given, **named)
    except Exception as error:  # noqa: BLE001 - whatever it is
        return f"{type(error).__name__}: {error}"
    return "nothing"


def shown(value):
    """Return a value without the address that it has in this process."""
    return re.sub(" at 0x[0-9a-f]+", "", repr(value))


def about_class(cls):
    return {
        "fields": [
            [shown(getattr(field, name)) for name in field.__slots__] for field in dataclasses.fields(cls)
        ],
        "is_dataclass": dataclasses.is_dataclass(cls),
        "params": repr(cls.__dataclass_params__),
        "takes": [
            [parameter.name, str(parameter.kind), shown(parameter.default)]
            for parameter in inspect.signature(cls).parameters.values()
        ],
        "slots": vars(cls).get("__slots__"),
        "match_args": vars(cls).get("__match_args__"),
        "has": sorted(name for name in vars(cls) if name != "__doc__" and "annot" not in name),
        "lines": {
            name: value.__code__.co_firstlineno
            for name, value in vars(cls).items()
            if inspect.isfunction(value) and name not in WRITTEN | LIBRARY
        },
    }


def about_instances(cls):
    takes = {field.name: number for number, field in enumerate(dataclasses.fields(cls)) if field.init}
    needed = [
        field.name
        for field in dataclasses.fields(cls)
        if field.init and field.default is field.default_factory is dataclasses.MISSING
    ]
    one, same = cls(**takes), cls(**takes)
    others = [cls(**{**takes, name: -1}) for name in takes]
    least = cls(**{name: takes[name] for name in needed})
    copies = [copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))]
    changed = [dataclasses.replace(one, **{name: -1}) for name in takes]
    if sys.version_info >= (3, 13):
        changed += [copy.replace(one, **{name: -1}) for name in takes]
    return {
        "shown": [shown(value) for value in (one, least, *copies, *changed)],
        "equal": [one == other for other in (one, same, *others, *copies, *changed, tuple(takes.values()))],
        "not equal": [one != other for other in (same, *others)],
        "hashes": [refusal(hash, one) if cls.__hash__ is None else hash(one) for one in (one, *others)],
        "as a dict": repr(dataclasses.asdict(one)),
        "of its own": [
            getattr(least, field.name) is not getattr(cls(**dict.fromkeys(needed, 0)), field.name)
            for field in dataclasses.fields(cls)
            if field.default_factory is not dataclasses.MISSING
        ],
        "set": [refusal(setattr, same, name, 0) for name in takes],
        "deleted": [refusal(delattr, same, name) for name in takes],
        "no field": [refusal(change, same, "other", *value) == "nothing" for change, *value in OTHER_CHANGES],
        "wrongly made": [refusal(cls), refusal(cls, 0), refusal(cls, **takes, other=0)],
    }


def main():
    with open(sys.argv[2], "rb") as file:
        pack = marshal.load(file)
    names = sorted(name for name in pack if name.startswith("ecs_gpu_deploy.") and name != WRITTEN_CLASS)
    sys.meta_path.insert(0, runpy.run_path(sys.argv[1])["_Packed"](pack))
    told, written = {}, 0
    for module in map(importlib.import_module, names):
        for cls in vars(module).values():
            if inspect.isclass(cls) and dataclasses.is_dataclass(cls) and cls.__module__ == module.__name__:
                told[f"{cls.__module__} {cls.__qualname__}"] = about_class(cls) | about_instances(cls)
                written += cls.__init__.__code__.co_filename.endswith(".py")
    patterns = {
        f"{name} {attribute}": [
            *(repr(value.pattern), value.flags, value.groups, dict(value.groupindex)),
            value == re.compile(value.pattern, value.flags),
        ]
        for name in sorted(pack.keys() & sys.modules.keys())
        for attribute, value in vars(sys.modules[name]).items()
        if isinstance(value, re.Pattern)
    }
    json.dump({"classes": told, "written": written, "patterns": patterns}, sys.stdout)


main()
