"""The core is pure: what it may import is checked, not promised."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ecs_gpu_deploy

PACKAGE = Path(ecs_gpu_deploy.__file__).parent
CORE = sorted(path for room in ("core", "ecs_model") for path in (PACKAGE / room).rglob("*.py"))
FORBIDDEN = {
    "actions_toolkit",
    "asyncio",
    "boto3",
    "botocore",
    "concurrent",
    "ctypes",
    "ecs_gpu_deploy.cli",
    "ecs_gpu_deploy.commands",
    "ecs_gpu_deploy.edges",
    "ecs_gpu_deploy.inputs",
    "ecs_gpu_deploy.run",
    "ecs_gpu_deploy.sandbox",
    "ecs_gpu_deploy.steps",
    "glob",
    "http",
    "locale",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "platform",
    "requests",
    "secrets",
    "select",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "sys",
    "tempfile",
    "tenacity",
    "threading",
    "time",
    "urllib.request",
    "urllib3",
    "uuid",
}
CLOCKS_AND_CHANCE = {"now", "today", "utcnow", "getrandbits", "SystemRandom"}
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}
SEEDED = {"Random"}


def imports_of(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def impurities_of(source: str) -> list[str]:
    """Give what a module of the core may not do, as text."""
    tree = ast.parse(source)
    found = [
        name
        for name in imports_of(tree)
        if any(name == bad or name.startswith(f"{bad}.") for bad in FORBIDDEN)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner, member = node.value.id, node.attr
            if member in CLOCKS_AND_CHANCE and owner in {"datetime", "date", "random", "dt"}:
                found.append(f"{owner}.{member}")
            if owner == "random" and member not in SEEDED:
                found.append(f"{owner}.{member}")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            found.append(f"{node.func.id}()")
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
        pytest.param("x = datetime.now()", ["datetime.now"], id="the wall clock"),
        pytest.param("x = random.random()", ["random.random"], id="chance without a seed"),
        pytest.param("x = random.Random(1)", [], id="chance with a seed"),
        pytest.param("print(open('x'))", ["print()", "open()"], id="input and output"),
        pytest.param("import ostrich\nfrom datetime import datetime", [], id="what is allowed"),
    ],
)
def test_the_check_itself(source: str, found: list[str]) -> None:
    assert sorted(impurities_of(source)) == sorted(found)
