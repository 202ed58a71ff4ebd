"""What holds a rule says so: the unit of each number it gives, and the source that the rule has."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import ecs_gpu_deploy

PACKAGE = Path(ecs_gpu_deploy.__file__).parent
PURE = sorted(path for room in ("core", "ecs_model") for path in (PACKAGE / room).rglob("*.py"))
# What ECS does is modelled and judged here, so that each module has a source to name.
RULES = [
    path
    for room in ("core/judge", "core/capacity", "ecs_model")
    for path in sorted((PACKAGE / room).glob("*.py"))
    if path.name != "__init__.py"
]
OURS = {
    "core/judge/options.py": "what somebody asked of a wait",
    "core/judge/stays.py": "how the time of a rollout is counted",
    "core/judge/verdict.py": "the words of a verdict",
    "core/judge/watch.py": "what a wait is told",
    "ecs_model/engine.py": "the model's face to its callers; the rules are behind it",
    "ecs_model/model.py": "the queue and the memory",
    "ecs_model/scripts.py": "what tests say of the world around ECS",
}
SOURCE = re.compile(
    r"docs/aws-facts\.md#|\bpages? \"|\bAPI Reference\b|(Developer|User) Guide|AWS pages?\b|github\.com"
)
UNIT = re.compile(
    r"\b(seconds?|s|bytes?|MiB|time|epoch|vCPU|GPUs?|how long|minutes?|age|factor)\b", re.IGNORECASE
)


def _functions(path: Path) -> Iterator[ast.FunctionDef]:
    """Give a module's public functions, and the public methods of its public classes."""
    for node in ast.parse(path.read_text("utf-8")).body:
        inside = node.body if isinstance(node, ast.ClassDef) and node.name[0] != "_" else [node]
        yield from (each for each in inside if isinstance(each, ast.FunctionDef) and each.name[0] != "_")


def _is_setter(function: ast.FunctionDef) -> bool:
    return any(isinstance(each, ast.Attribute) and each.attr == "setter" for each in function.decorator_list)


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_public_functions_say_what_they_do_and_in_which_unit(path: Path) -> None:
    silent, unmeasured = [], []
    for function in _functions(path):
        text = ast.get_docstring(function) or ""
        if not text and not _is_setter(function):
            silent.append(function.name)
        if function.returns is not None and ast.unparse(function.returns) in {"float", "float | None"}:
            unmeasured += [function.name] * (not UNIT.search(text))
    assert silent == []
    assert unmeasured == [], "a number without a unit"


@pytest.mark.parametrize("path", RULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_with_rules_of_ecs_name_a_source(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    texts = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, documented)]
    is_ours = str(path.relative_to(PACKAGE)) in OURS
    assert is_ours or any(SOURCE.search(text) for text in texts)


def test_what_needs_no_source_is_still_there() -> None:
    assert [name for name in OURS if not (PACKAGE / name).exists()] == []
