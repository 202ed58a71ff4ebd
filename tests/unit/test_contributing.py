"""The map and the guide name what is there, and all of it."""

import re
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
    "the breaker's rule",
    "a phase",
    "a new AWS field",
    "an ECS operation in the sandbox",
    "the summary's look",
    "a command",
    "the pace",
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


def test_what_the_rest_of_the_guide_names_exists() -> None:
    text = GUIDE.partition("## To change X")[0]
    assert [name for name in _named(text) if not (ROOT / name).exists()] == []
    assert [name for name in re.findall(r"\]\(([^)#]+)\)", text) if not (ROOT / name).exists()] == []
    targets = re.findall(r"`make ([a-z-]+)", GUIDE)
    assert [name for name in targets if not re.search(rf"^{name}:", MAKEFILES, re.MULTILINE)] == []


def test_the_map_has_a_line_for_each_folder_and_each_file_above_them() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \| [^|]+ \| [^|]+ \|$", MAP, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    packages = [path.parent for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE]
    divided = {PACKAGE / name for name in ("core", "edges", "sandbox")}
    folders = {f"{path.relative_to(PACKAGE)}/" for path in packages if path not in divided}
    files = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    assert named == folders | files


def test_what_the_map_names_around_the_package_exists() -> None:
    around = MAP.partition("## Around the package")[2]
    assert [name for name in _named(around) if not (ROOT / name).exists()] == []
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", MAP)
    assert [name for name in links if not (ROOT / "docs" / name).exists()] == []
