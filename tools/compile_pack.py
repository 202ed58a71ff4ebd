"""Compile a pack of modules: standard input to standard output. Each Python runs this file for its own pack.

Docstrings go, since nobody reads them there. What would be compiled whenever the program starts, half of that
time, is compiled here: the methods of our plain data classes, which `dataclass` writes as text, and patterns.
"""

from __future__ import annotations

import ast
import marshal
import re
import sys
from re import _compiler, _parser  # type: ignore[attr-defined]
from typing import Any, Final

_OURS: Final = "ecs_gpu_deploy."
_PLAIN: Final = "dataclass(frozen=True, slots=True, kw_only=True)"
_OPTIONS: Final = {"default", "default_factory", "repr"}
_SPECIAL: Final = (
    "__init__",
    "__post_init__",
    "__eq__",
    "__hash__",
    "__repr__",
    "__setattr__",
    "__delattr__",
)
_IMPORT: Final = "import ecs_gpu_deploy.written_class as _written_"


def main() -> None:
    """Compile what comes in; PYTHONHASHSEED leaves no order of a set's items to chance."""
    pack = marshal.loads(sys.stdin.buffer.read())  # noqa: S302  (of tools/bundle.py)
    for name, (is_package, source) in pack.items():
        path = name.replace(".", "/") + ("/__init__" if is_package else "") + ".py"
        tree = ast.parse(source)
        if name.startswith(_OURS):
            _write_classes(tree)
        _write_patterns(tree)
        for node in list(ast.walk(tree)):
            _take_docstring(node)
        code = compile(tree, path, "exec", dont_inherit=True, optimize=0)
        pack[name] = is_package, marshal.dumps(code)
    sys.stdout.buffer.write(marshal.dumps({**pack, "": True}))


def _take_docstring(node: ast.AST) -> None:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
            node.body[:1] = [] if len(node.body) > 1 else [ast.copy_location(ast.Pass(), first)]


def _write_classes(tree: ast.Module) -> None:
    """Put methods into the plain data classes of a module; all lines keep their numbers."""
    plain = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and _is_plain(node)]
    for node in plain:
        node.decorator_list = []
        node.body += _statements(_methods(_fields(node)), node.lineno)
    if plain:
        modules = [getattr(node, "module", "") for node in tree.body]
        tree.body[modules.index("__future__") + 1 : 0] = _statements(_IMPORT, 1)


def _write_patterns(tree: ast.Module) -> None:
    """Put the code of a pattern where a module makes one as it loads, of constants alone.

    That code, like Python's own, is the same for all releases of a version (`_sre.MAGIC`).
    """
    known: dict[str, Any] = {"__builtins__": {}, "re": re}
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        try:
            value = eval(compile(ast.Expression(node.value), "", "eval"), dict(known))  # noqa: S307
        except Exception:  # noqa: BLE001, S112 - it needs more than is known here, and is left
            continue
        if isinstance(value, re.Pattern):
            [made] = _statements(_compiled(value), node.lineno)
            node.value = made.value  # type: ignore[attr-defined]
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            known[ast.unparse(target)] = value


def _compiled(pattern: re.Pattern[Any]) -> str:
    """Write what `re.compile` gives to the C code at its end."""
    parsed = _parser.parse(pattern.pattern, pattern.flags)
    code = [int(word) for word in _compiler._code(parsed, pattern.flags)]
    names = {number: name for name, number in pattern.groupindex.items()}
    groups = tuple(names.get(number) for number in range(pattern.groups + 1))
    given = (pattern.pattern, pattern.flags, code, pattern.groups, dict(pattern.groupindex), groups)
    return f"__import__('_sre').compile{given!r}"


def _statements(text: str, line: int) -> list[ast.stmt]:
    """Return statements that all stand in one line of the source."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for name in {"lineno", "end_lineno"} & set(node._attributes):
            setattr(node, name, line)
    return tree.body


def _is_plain(node: ast.ClassDef) -> bool:
    """Say whether a class is of the one kind that is written out; `dataclass` itself makes the others."""
    return (
        [ast.unparse(decorator) for decorator in node.decorator_list] == [_PLAIN]
        and not node.bases
        and not any(isinstance(item, ast.FunctionDef) and item.name in _SPECIAL for item in node.body)
        and all(_OPTIONS.issuperset(_options(value)) for value in _fields(node).values())
        and "InitVar" not in ast.unparse(node)
    )


def _fields(node: ast.ClassDef) -> dict[str, ast.expr | None]:
    """Return the fields of a class by name, each with what it is set to."""
    return {
        ast.unparse(item.target): item.value
        for item in node.body
        if isinstance(item, ast.AnnAssign) and not ast.unparse(item.annotation).startswith("ClassVar")
    }


def _options(value: ast.expr | None) -> dict[str | None, str]:
    """Return what `field()` is given where a field is set to one."""
    if not isinstance(value, ast.Call) or ast.unparse(value.func) != "field":
        return {}
    return {keyword.arg: ast.unparse(keyword.value) for keyword in value.keywords}


def _methods(fields: dict[str, ast.expr | None]) -> str:
    """Write what `dataclass` would; the defaults are there by name until the fields have taken them."""
    heads, sets = ["self", *(["*"] if fields else [])], []
    for name, value in fields.items():
        options, given = _options(value), name
        if "default_factory" in options:
            heads.append(f"{name}=_written_.FACTORY")
            given = f"({options['default_factory']})() if {name} is _written_.FACTORY else {name}"
        elif "default" in options:
            heads.append(f"{name}={name}.default")
        else:
            heads.append(name if value is None or options else f"{name}={name}")
        sets.append(f"object.__setattr__(self, {name!r}, {given})")
    mine, others = ("".join(f"{owner}.{name}, " for name in fields) for owner in ("self", "other"))
    return f"""
__slots__ = {tuple(fields)!r}
def __init__({", ".join(heads)}): {"; ".join(sets) or "pass"}
def __eq__(self, other):
    return ({mine}) == ({others}) if other.__class__ is self.__class__ else NotImplemented
def __hash__(self): return hash(({mine}))
_written_.complete(vars())
"""


if __name__ == "__main__":
    main()
