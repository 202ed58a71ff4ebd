"""The house: what may import what, and how large a file grows. docs/architecture.md draws it."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from functools import cache
from keyword import iskeyword
from pathlib import Path

import pytest

import ecs_gpu_deploy
from ecs_gpu_deploy.cli import ROLLOUT_COMMANDS

PACKAGE = Path(ecs_gpu_deploy.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
ABOVE_THE_EDGES = [path for path in MODULES if path.relative_to(PACKAGE).parts[0] not in {"edges", "sandbox"}]
SDK = {"boto3", "botocore", "jmespath", "s3transfer"}
QUERIES = "core/rules/expressions.py"
"""Where JMESPath is the language of our own rules, and asks no AWS."""
TABLES = {"inputs/options.py"}
MOST_LINES = 500


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path) for path in MODULES}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def called_import(node: ast.Call) -> str:
    """Return what a call imports ("?" where only the run tells), "" where it imports nothing."""
    if ast.unparse(node.func).rpartition(".")[2] not in {"import_module", "__import__"}:
        return ""
    first = node.args[0] if node.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else "?"


def imports_of(tree: ast.AST, *, at_start: bool = False) -> Iterator[str]:
    """Yield what is imported when the program runs; *at_start*: not what a function imports when called."""
    for node in ast.iter_child_nodes(tree):
        if is_for_types(node):
            continue
        if at_start and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.Call) and (name := called_import(node)):
            yield name
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in NAMES else str(node.module)
        else:
            yield from imports_of(node, at_start=at_start)


def sdk_imports(tree: ast.AST) -> list[str]:
    """Return what of the SDK *tree* imports, by a call too, or takes out of one of our modules."""
    found = [name for name in imports_of(tree) if name.partition(".")[0] in {*SDK, "?"}]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("ecs_gpu_deploy"):
            found += [f"{node.module}.{alias.name}" for alias in node.names if alias.name in SDK]
        if isinstance(node, ast.Attribute) and node.attr in SDK:
            found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("module", ABOVE_THE_EDGES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_sdk_stays_below_the_edges(module: Path) -> None:
    found = sdk_imports(tree_of(module))
    if str(module.relative_to(PACKAGE)) == QUERIES:
        found = [name for name in found if name.partition(".")[0] != "jmespath"]
    assert found == []


def test_the_folder_of_commands_holds_the_commands_and_nothing_else() -> None:
    files = {path.stem for path in (PACKAGE / "commands").glob("*.py")} - {"__init__"}
    names = {name.replace("-", "_") for name in (*ROLLOUT_COMMANDS, "explain")}
    assert files == {f"{name}_" if iskeyword(name) else name for name in names}


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules of one import circle in their order, [] where there is none."""
    done: set[str] = set()
    path: list[str] = []

    def visit(module: str) -> list[str]:
        if module in path:
            return path[path.index(module) :]
        if module in done:
            return []
        path.append(module)
        for other in sorted(graph.get(module, ())):
            if found := visit(other):
                return found
        done.add(path.pop())
        return []

    return next((found for module in sorted(graph) if (found := visit(module))), [])


def test_no_import_goes_round_in_a_circle() -> None:
    graph = {
        name_of(path): {name for name in imports_of(tree_of(path), at_start=True) if name in NAMES}
        - {name_of(path)}
        for path in MODULES
    }
    assert circle_in(graph) == []


def lines_of_code(source: str) -> int:
    """Count the lines that hold code: no blank ones, comments or docstrings."""
    kept: set[int] = set()
    noise = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in noise:
            kept |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.end_lineno:
            kept -= set(range(node.lineno, node.end_lineno + 1))
    return len(kept)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_is_short_enough_to_have_one_reason(module: Path) -> None:
    if str(module.relative_to(PACKAGE)) not in TABLES:
        assert lines_of_code(module.read_text(encoding="utf-8")) <= MOST_LINES


@pytest.mark.parametrize(
    ("source", "found"),
    [
        pytest.param("import botocore.exceptions", ["botocore.exceptions"], id="a plain import"),
        pytest.param("def f():\n    from boto3 import Session", ["boto3"], id="inside a function"),
        pytest.param(
            "importlib.import_module('botocore.errors')", ["botocore.errors"], id="by a call in an expression"
        ),
        pytest.param("x = [import_module(name)]", ["?"], id="nobody knows what"),
        pytest.param(
            "from ecs_gpu_deploy.edges.aws.answers import botocore",
            ["ecs_gpu_deploy.edges.aws.answers.botocore"],
            id="out of an edge",
        ),
        pytest.param("answers.botocore.session", ["answers.botocore"], id="through an edge"),
        pytest.param("if TYPE_CHECKING:\n    import botocore", [], id="for types only"),
        pytest.param("import botocorelike", [], id="another package"),
    ],
)
def test_the_check_of_imports_itself(source: str, found: list[str]) -> None:
    assert sdk_imports(ast.parse(source)) == found


def test_the_check_of_circles_itself() -> None:
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["b", "c"]
    assert circle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_the_count_of_lines_itself() -> None:
    assert (
        lines_of_code(
            '"""Two\nlines."""\n\n# why\nx = (\n    1,\n)\n\n\ndef f():\n    """One."""\n    return x\n'
        )
        == 5
    )
