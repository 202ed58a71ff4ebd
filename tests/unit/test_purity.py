"""The core is pure: what it may import is checked, not promised."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ecs_gpu_deploy

PACKAGE = Path(ecs_gpu_deploy.__file__).parent
CORE = sorted(path for room in ("core", "ecs_model", "forecast") for path in (PACKAGE / room).rglob("*.py"))
OURS = {f"ecs_gpu_deploy.{room}" for room in ("core", "ecs_model", "errors", "forecast", "model", "result")}
PURE = {
    "__future__",
    "base64",
    "bisect",
    "collections",
    "contextlib",
    "copy",
    "dataclasses",
    "datetime",
    "difflib",
    "enum",
    "fnmatch",
    "functools",
    "hashlib",
    "heapq",
    "importlib.resources.files",
    "itertools",
    "jmespath",
    "json",
    "math",
    "random.Random",
    "re",
    "shlex",
    "textwrap",
    "statistics",
    "typing",
    "urllib.parse",
    "yaml",
}
"""What computes and neither reads a file, asks a clock nor knows the system; everything else is refused."""
CLOCKS_AND_CHANCE = {"now", "today", "utcnow", "random", "getrandbits", "SystemRandom"}
CLOCK_OWNERS = {"datetime", "date", "random", "dt"}
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint", "compile"}
FILE_CALLS = {"open", "read_text", "read_bytes", "write_text", "write_bytes"}


def imports_of(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_pure(name: str) -> bool:
    return any(name == good or name.startswith(f"{good}.") for good in PURE | OURS)


def impurities_of(source: str) -> list[str]:
    """Give what a module of the core may not do, as text: imports, clocks, chance and files by any name."""
    tree = ast.parse(source)
    found = [name for name in imports_of(tree) if not is_pure(name)]
    called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            of_a_clock = owner.rpartition(".")[2] in CLOCK_OWNERS
            if node.attr in CLOCKS_AND_CHANCE and (of_a_clock or node in called):
                found.append(f"{owner}.{node.attr}")
            if node.attr in FILE_CALLS and node in called and not owner.startswith("files("):
                found.append(f"{owner}.{node.attr}()")
        if isinstance(node, ast.Name) and node.id in IMPURE_CALLS and node in called:
            found.append(f"{node.id}()")
    return found


@pytest.mark.parametrize("module", CORE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_of_the_core_is_pure(module: Path) -> None:
    assert impurities_of(module.read_text(encoding="utf-8")) == []


def test_the_core_is_where_we_look_for_it() -> None:
    assert len(CORE) > 5


@pytest.mark.parametrize(
    ("source", "found"),
    [
        pytest.param("import os.path", ["os.path"], id="a plain import"),
        pytest.param(
            "def f():\n    from time import sleep", ["time.sleep"], id="an import inside a function"
        ),
        pytest.param("from ecs_gpu_deploy import edges", ["ecs_gpu_deploy.edges"], id="an edge"),
        pytest.param("import ecs_gpu_deploy.steps.context", ["ecs_gpu_deploy.steps.context"], id="a step"),
        pytest.param("x = datetime.now()", ["datetime.now"], id="the wall clock"),
        pytest.param("x = datetime.datetime.now(UTC)", ["datetime.datetime.now"], id="by its whole name"),
        pytest.param("x = when.now()", ["when.now"], id="by another name"),
        pytest.param("clock = datetime.now", ["datetime.now"], id="not called yet"),
        pytest.param("import random\nx = random.random()", ["random", "random.random"], id="chance"),
        pytest.param("from random import Random\nx = Random(1)", [], id="chance with a seed"),
        pytest.param("print(open('x'))", ["print()", "open()"], id="input and output"),
        pytest.param("import io\nio.open('/etc/passwd')", ["io", "io.open()"], id="a file by another door"),
        pytest.param("Path('x').read_text()", ["Path('x').read_text()"], id="a file that has been found"),
        pytest.param(
            "import importlib\nimportlib.import_module('boto3')", ["importlib"], id="an import in disguise"
        ),
        pytest.param("__import__('boto3')", ["__import__()"], id="another one"),
        pytest.param("import builtins\nbuiltins.open('x')", ["builtins", "builtins.open()"], id="a third"),
        pytest.param("x = model.now + 1", [], id="a time that was passed in"),
        pytest.param("files('p').joinpath('t').read_text()", [], id="package data"),
        pytest.param("from datetime import UTC, datetime\nimport re", [], id="what is allowed"),
    ],
)
def test_the_check_itself(source: str, found: list[str]) -> None:
    assert sorted(impurities_of(source)) == sorted(found)
