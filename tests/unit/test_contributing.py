"""The map and the guide name what is there, and all of it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "ecs_gpu_deploy"
GUIDE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
MAP = (ROOT / "docs" / "architecture.md").read_text("utf-8")
MAKEFILES = "\n".join(
    path.read_text("utf-8")
    for path in (ROOT / "Makefile", ROOT / "example-service/Makefile", ROOT / "example-infra/Makefile")
)
CHANGES = re.findall(
    r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", GUIDE.partition("## To change X")[2], re.MULTILINE
)[1:]
WANTED = [
    "an input",
    "an output",
    "a diagnosis",
    "a rule of `plan`",
    "the breaker's rule",
    "a phase",
    "a new AWS field",
    "an ECS operation in the sandbox",
    "the summary's look",
    "a command",
    "the pace",
    "what plan foresees",
    "what earlier rollouts say of the next",
    "a deployment controller",
]


def _named(text: str) -> list[str]:
    """Return the paths that *text* names in code, `…` spelt out; words without a slash or suffix are none."""
    spelt = (name.replace("…", "src/ecs_gpu_deploy") for name in re.findall(r"`([^`\s]+)`", text))
    return [name for name in spelt if "/" in name or Path(name).suffix in {".py", ".yml", ".md"}]


def test_each_kind_of_change_has_its_row() -> None:
    assert [name for name, _, _ in CHANGES] == WANTED


@pytest.mark.parametrize(("change", "touched", "tests"), CHANGES, ids=[name for name, _, _ in CHANGES])
def test_a_row_names_files_and_tests_that_exist(change: str, touched: str, tests: str) -> None:
    files, tested = _named(touched), _named(tests)
    assert files, change
    assert tested, change
    assert [name for name in files + tested if not (ROOT / name).exists()] == []


def test_a_new_field_of_awss_has_all_its_places() -> None:
    touched = next(files for change, files, _ in CHANGES if change == "a new AWS field")
    readers = {
        f"src/ecs_gpu_deploy/{path.relative_to(PACKAGE)}"
        for path in PACKAGE.rglob("*.py")
        if "def from_api(" in path.read_text("utf-8")
    }
    assert readers - set(_named(touched)) == set()
    assert "…/ecs_model/state.py" in touched


def test_a_new_diagnosis_goes_into_the_list_that_the_table_is_compared_with() -> None:
    touched = next(files for change, files, _ in CHANGES if change == "a diagnosis")
    assert "`CONTRACT` of `tests/unit/test_diagnosis_table.py`" in touched
    assert re.search(
        "^CONTRACT = ", (ROOT / "tests/unit/test_diagnosis_table.py").read_text("utf-8"), re.MULTILINE
    )


def test_what_the_rest_of_the_guide_names_exists() -> None:
    text = GUIDE.partition("## To change X")[0]
    assert [name for name in _named(text) if not (ROOT / name).exists()] == []
    assert [name for name in re.findall(r"\]\(([^)#]+)\)", text) if not (ROOT / name).exists()] == []
    targets = re.findall(r"`make ([a-z0-9-]+)", GUIDE)
    assert [name for name in targets if not re.search(rf"^{name}:", MAKEFILES, re.MULTILINE)] == []


ROWS = re.findall(r"^\| (`[^|]+`) \| [^|]+ \| ([^|]+) \|$", MAP.partition("## Around")[0], re.MULTILINE)
OWN_FACES = {"sandbox/cli.py", "sandbox/demo.py", "sandbox/http/serve.py"}
"""What a person starts of the sandbox is a command line of its own."""


def _code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def _may_import() -> Iterator[tuple[str, set[str] | None]]:
    """Give each folder or file of the map with the rooms that it may import; None means all."""
    rooms: set[str] | None = set()
    for names, column in ROWS:
        if column != "the same":
            rooms = None if column == "all" else set(_code(column))
        yield from ((name, rooms) for name in _code(names))


def _imported(source: str) -> set[str]:
    """Return the rooms (folders or modules at the top of the package) that *source* imports from.

    Any form counts: `import a.b`, `from a import b`, and a module's name as text, for a call imports it.
    """
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and re.fullmatch(r"ecs_gpu_deploy(\.\w+)+", str(node.value)):
            names.append(str(node.value))
    parts = [name.split(".") for name in names]
    return {
        part[1] if len(part) > 1 else "the whole package" for part in parts if part[0] == "ecs_gpu_deploy"
    }


@pytest.mark.parametrize(
    ("source", "rooms"),
    [
        ("from ecs_gpu_deploy.steps.context import Context", {"steps"}),
        ("from ecs_gpu_deploy import steps, model", {"steps", "model"}),
        ("import ecs_gpu_deploy.steps.context", {"steps"}),
        ("import ecs_gpu_deploy.steps.context as context, os", {"steps"}),
        ("import_module('ecs_gpu_deploy.steps.context')", {"steps"}),
        ("import ecs_gpu_deploy", {"the whole package"}),
        ("import os\nx = 'ecs_gpu_deploy'", set()),
    ],
)
def test_the_reading_of_imports_itself(source: str, rooms: set[str]) -> None:
    assert _imported(source) == rooms


def test_the_map_has_a_line_for_each_folder_and_each_file_above_them() -> None:
    named = {name for names, _ in ROWS for name in _code(names)}
    packages = [path.parent for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE]
    divided = {PACKAGE / name for name in ("core", "edges", "sandbox")}
    folders = {f"{path.relative_to(PACKAGE)}/" for path in packages if path not in divided}
    files = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    assert named == folders | files


@pytest.mark.parametrize(("name", "rooms"), list(_may_import()), ids=[name for name, _ in _may_import()])
def test_a_room_imports_what_the_map_allows(name: str, rooms: set[str] | None) -> None:
    paths = sorted((PACKAGE / name).rglob("*.py")) if name.endswith("/") else [PACKAGE / name]
    assert paths
    if rooms is None:
        return
    allowed = {*rooms, "errors", "__version__", name.partition("/")[0]}
    found = {
        path: _imported(path.read_text("utf-8")) - allowed
        for path in paths
        if str(path.relative_to(PACKAGE)) not in OWN_FACES
    }
    assert {str(path): extra for path, extra in found.items() if extra} == {}


def test_what_the_map_names_around_the_package_exists() -> None:
    around = MAP.partition("## Around the package")[2]
    assert [name for name in _named(around) if not (ROOT / name).exists()] == []
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", MAP)
    assert [name for name in links if not (ROOT / "docs" / name).exists()] == []
