"""What holds a rule says so: the unit of each number it gives, and the source that the rule has."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import ecs_gpu_deploy

PACKAGE = Path(ecs_gpu_deploy.__file__).parent
PURE = sorted(
    path
    for room in ("core", "ecs_model")
    for path in (PACKAGE / room).rglob("*.py")
    if path.name != "__init__.py"
)
# What AWS does is read, modelled and judged here, so that each module has a source to name.
ROOMS = (
    "core/capacity",
    "core/definition",
    "core/diagnose",
    "core/image",
    "core/judge",
    "core/past",
    "ecs_model",
)
RULES = [path for path in PURE if str(path.parent.relative_to(PACKAGE)) in ROOMS]
OURS = {
    "core/capacity/price.py": "what somebody gave, or the list in price_list.py",
    "core/definition/paths.py": "our own notation",
    "core/diagnose/batch_causes.py": "which causes a batch shows",
    "core/diagnose/diagnosis.py": "how the table is asked; its entries have their sources",
    "core/diagnose/needles.py": "how regular expressions are read",
    "core/diagnose/table.py": "how the table is read",
    "core/image/repository.py": "how the input is read",
    "core/judge/options.py": "what somebody asked of a wait",
    "core/judge/stays.py": "how the time of a rollout is counted",
    "core/judge/verdict.py": "the words of a verdict",
    "core/judge/watch.py": "what a wait is told",
    "core/past/past_deployments.py": "what history shows",
    "core/past/retention.py": "which revisions keep-revisions keeps",
    "ecs_model/model.py": "the queue and the memory",
    "ecs_model/scripts.py": "what tests say of the world around ECS",
}
SOURCE = re.compile(
    r"docs/aws-facts\.md#|\bpages? \"|\bAPI [Rr]eference\b|(Developer|User) Guide|AWS pages?\b|github\.com"
    r"|OCI image specification"
)
UNIT = re.compile(
    r"\b(seconds?|s|bytes?|MiB|times?|epoch|vCPU|units?|GPUs?|tasks|how (long|many)|minutes?|age|factor"
    r"|from 0|number|percent|count)\b",
    re.IGNORECASE,
)
NUMBER = re.compile(r"\b(float|int)\b")
# AWS's statuses, codes and members, as code spells them.
AWS_WORD = re.compile(r"[A-Z]{2,}(_[A-Z]+)*|([A-Z][a-z]+){2,}|[a-z]+([A-Z][a-z]+)+")
IN_NAME = re.compile(
    r"SECONDS|MINUTES|PERCENT|BYTES|MIB|UNITS|MARGIN|DAY"  # how much
    r"|LINES?|EVENTS|TASKS|STAYS|INSTANCES|HITS|TAILS|TEXT"  # of what, as a number
    r"|MOST|LEAST|LONGEST|KEPT|NAMED|LIMIT|PORT|SIG(TERM|KILL)|THRESHOLD|INTERVAL|TIMEOUT"
)
Documented = ast.Module | ast.ClassDef | ast.FunctionDef


def functions_of(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef, str]]:
    """Give public functions and public classes' methods, each with its class's docstring."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name[0] != "_":
            inside = [(each, ast.get_docstring(node) or "") for each in node.body]
        else:
            inside = [(node, "")]
        yield from (
            (each, text) for each, text in inside if isinstance(each, ast.FunctionDef) and each.name[0] != "_"
        )


def silent_in(tree: ast.Module) -> list[str]:
    """Return the public functions without a docstring."""
    return [
        function.name
        for function, _ in functions_of(tree)
        if not ast.get_docstring(function)
        and not any(isinstance(each, ast.Attribute) for each in function.decorator_list)
    ]


def unmeasured_in(tree: ast.Module) -> list[str]:
    """Return the public functions that give numbers, alone or in tuples and mappings, without their unit."""
    return [
        function.name
        for function, _ in functions_of(tree)
        if function.returns is not None
        and NUMBER.search(ast.unparse(function.returns))
        and not UNIT.search(ast.get_docstring(function) or "")
    ]


def unnamed_in(tree: ast.Module) -> list[str]:
    """Return the numbers of a module, 2 or more, that neither their name nor the text below them explains."""
    found: list[str] = []
    waiting: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.Expr):  # The text below a row of constants is about all of them.
            waiting = []
            continue
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if not isinstance(target, ast.Name):
            found, waiting = found + waiting, []
        elif isinstance(value, ast.Constant) and type(value.value) in {int, float} and value.value > 1:
            waiting += [target.id] * (not IN_NAME.search(target.id))
    return found + waiting


def unsourced_in(tree: ast.Module) -> list[str]:
    """Return the public functions that decide by AWS's words and name no source; the module's is too far."""
    found = []
    for function, around in functions_of(tree):
        words = {
            each.value
            for node in ast.walk(function)
            if isinstance(node, ast.Compare | ast.match_case)
            for each in ast.walk(node.pattern if isinstance(node, ast.match_case) else node)
            if isinstance(each, ast.Constant)
            and isinstance(each.value, str)
            and AWS_WORD.fullmatch(each.value)
        }
        if words and not SOURCE.search(f"{around}\n{ast.get_docstring(function) or ''}"):
            found.append(f"{function.name}: {', '.join(sorted(words))}")
    return found


def has_source(tree: ast.Module) -> bool:
    """Say whether a text in the module names a source: a docstring, or the text below a constant."""
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return any(SOURCE.search(text) for text in texts if isinstance(text, str))


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_public_functions_say_what_they_do_in_which_unit_and_by_which_source(path: Path) -> None:
    tree = _tree(path)
    assert silent_in(tree) == []
    assert unmeasured_in(tree) == [], "a number without a unit"
    assert unnamed_in(tree) == [], "a number that nothing explains"
    assert unsourced_in(tree) == [], "a rule of AWS's without a source"


@pytest.mark.parametrize("path", RULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_with_rules_of_aws_name_a_source(path: Path) -> None:
    assert str(path.relative_to(PACKAGE)) in OURS or has_source(_tree(path))


def test_what_needs_no_source_is_still_there_and_still_has_none() -> None:
    assert [name for name in OURS if not (PACKAGE / name).exists() or has_source(_tree(PACKAGE / name))] == []


@pytest.mark.parametrize(
    ("check", "source", "found"),
    [
        (silent_in, "def f() -> None: ...", ["f"]),
        (silent_in, "class A:\n    def f(self): ...\n    def _g(self): ...", ["f"]),
        (silent_in, "def f() -> None:\n    'Do.'", []),
        (unmeasured_in, "def f() -> float:\n    'Return it.'", ["f"]),
        (unmeasured_in, "def f() -> Mapping[str, float]:\n    'Return all.'", ["f"]),
        (unmeasured_in, "def f() -> tuple[int, ...]:\n    'Return all.'", ["f"]),
        (unmeasured_in, "def f() -> int:\n    'Return the seconds.'", []),
        (unnamed_in, "RATIO = 7", ["RATIO"]),
        (unnamed_in, "RATIO: Final = 7.5\nX = f()", ["RATIO"]),
        (unnamed_in, "RATIO_SECONDS = 7\nFIRST = 1", []),
        (unnamed_in, "LEAST, X = 1, 2\nLOW = 3\nHIGH = 9\n'Bounds, in tasks.'", []),
        (unsourced_in, "def f(s):\n    'Say.'\n    return s == 'DRAINING'", ["f: DRAINING"]),
        (unsourced_in, "def f(s):\n    match s:\n        case 'LINEAR':\n            f()", ["f: LINEAR"]),
        (unsourced_in, "def f(s):\n    return 'launchType' in s", ["f: launchType"]),
        (unsourced_in, "def f(s):\n    'Say (API Reference, Task).'\n    return s == 'STOPPED'", []),
        (unsourced_in, "'The page \"X\".'\ndef f(s):\n    return s == 'STOPPED'", ["f: STOPPED"]),
        (unsourced_in, "def f(s):\n    return s == 'rollback'", []),
    ],
)  # fmt: skip
def test_the_checks_themselves(check, source: str, found: list[str]) -> None:
    assert check(ast.parse(source)) == found
