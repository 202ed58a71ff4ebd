"""`python -m tools.mutants [core/capacity core/judge/pace.py …]`: break the pure rules, one place at a time.

mutmut makes the breaks (mutants) and runs for each the unit tests that reach it; a break that no test
notices survives. Each package is broken in a folder of its own under build/mutants, by the unit tests that
import it; survivors.txt in there shows what survived. Left out is what mutmut cannot reach: module
constants, and functions under a decorator other than classmethod and staticmethod.

`python -m tools.mutants example […]`, by the Python of example-service, breaks the example's rules instead.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mutmut.configuration import reset_config
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "mutants"
WANTED = 85.0
# A mutant that runs on without end is stopped, and so noticed.
NOTICED = {"killed", "timeout", "segfault", "suspicious"}
RUN_MUTMUT = "from mutmut.__main__ import cli; cli()"
_PROJECT = """\
[tool.mutmut]
source_paths = ["src"]
only_mutate = {files}
also_copy = {copied}
pytest_add_cli_args = ["-p", "no:cacheprovider", "-p", "no:xdist", "-p", "tools.mutants"]
pytest_add_cli_args_test_selection = {tests}
use_git_change_detection = false

[tool.pytest.ini_options]
pythonpath = [".", "tests"]
filterwarnings = ["error"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Name what can be broken, by package, and the tests that may notice.

    `needed`: what tests read or import beside the code. `avoided`: a test file that has one of these words is
    left out, for what it does takes seconds for each mutant.
    """

    root: Path
    code: str
    packages: Mapping[str, tuple[str, ...]]
    tests: str
    needed: tuple[str, ...]
    avoided: tuple[str, ...]

    @property
    def imported(self) -> str:
        """Give the name under which the code is imported."""
        return self.code.rpartition("/")[2]


PROGRAM = Project(
    root=ROOT,
    code="src/ecs_gpu_deploy",
    packages={
        "core/definition": ("core/definition/*.py",),
        "core/capacity": ("core/capacity/*.py",),
        "core/judge": ("core/judge/*.py",),
        "core/diagnose": ("core/diagnose/*.py",),
        "ecs_model": ("ecs_model/breaker.py", "ecs_model/placement.py", "ecs_model/health.py"),
    },
    tests="tests/unit",
    needed=("docs", "tests/conftest.py", "tests/data", "tests/unit", "tests/worlds.py"),
    # A search for an example, and 1400 messages, which are about the table and not the code.
    avoided=("import hypothesis", "from hypothesis", "messages.yml"),
)
EXAMPLE = Project(
    root=ROOT / "example-service",
    code="src/rag_service",
    packages={
        "access": ("access.py", "doorman.py", "keys.py", "oidc.py"),
        "answers": ("extractive.py", "generator.py", "prompt.py", "streaming.py"),
        "service": ("problems.py", "readiness.py", "store.py"),
        "ingest": ("ingest/chunking.py", "ingest/extraction.py", "ingest/progress.py"),
    },
    tests="tests",
    needed=("documents", "tests/*.py"),
    # A whole service, and LanceDB, whose threads do not survive the fork that each mutant is.
    avoided=("from running import", "import lancedb"),
)


def main(only: Sequence[str]) -> int:
    """Print a line per package and return 1 where one is below WANTED, 2 where `only` names nothing."""
    project = EXAMPLE if only[:1] == ["example"] else PROGRAM
    only = only[1:] if project is EXAMPLE else only
    chosen = {package: _chosen(project, package, only) for package in project.packages}
    if not any(chosen.values()):
        packages = ", ".join(project.packages)
        print(f"{' '.join(only)} is none of {packages} and no file of theirs", file=sys.stderr)
        return 2
    weak = False
    for package, files in chosen.items():
        if not files:
            continue
        began, cpu = time.monotonic(), _cpu_seconds()
        verdicts = _verdicts(project, package, files)
        survivors = [name for name, status in verdicts.items() if status not in NOTICED]
        score = 100 * (len(verdicts) - len(survivors)) / max(1, len(verdicts))
        weak = weak or score < WANTED
        print(
            f"{package:16} {len(verdicts):5} mutants {len(verdicts) - len(survivors):5} killed "
            f"{len(survivors):4} survived {score:5.1f} % {time.monotonic() - began:5.0f} s "
            f"({_cpu_seconds() - cpu:.0f} s of CPU)",
            flush=True,
        )
        with (_folder(project, package) / "survivors.txt").open("w", encoding="utf-8") as listed:
            listed.writelines(_shown(project, package, survivors, verdicts))
    return int(weak)


def pytest_sessionstart() -> None:
    """Empty the caches of the broken module: they were filled in this process before it was broken."""
    module = sys.modules.get(os.environ.get("MUTANT_UNDER_TEST", "").rpartition(".")[0])
    for value in vars(module).values() if module else ():
        if hasattr(value, "cache_clear"):
            value.cache_clear()


def _chosen(project: Project, package: str, only: Sequence[str]) -> list[str]:
    code = project.root / project.code
    files = sorted(
        str(file.relative_to(code)) for pattern in project.packages[package] for file in code.glob(pattern)
    )
    wanted = [name.removeprefix(f"{project.code}/").rstrip("/") for name in only]
    return [file for file in files if not wanted or package in wanted or file in wanted]


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _folder(project: Project, package: str) -> Path:
    return WORK / project.imported / package.replace("/", "-")


def _verdicts(project: Project, package: str, files: Sequence[str]) -> dict[str, str]:
    """Run mutmut over the files and give the verdict on each mutant."""
    folder = _folder(project, package)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tests").mkdir(parents=True)
    (folder / "tools").symlink_to(ROOT / "tools")
    for pattern in ("src", *project.needed):
        for path in project.root.glob(pattern):
            (folder / path.relative_to(project.root)).symlink_to(path)
    settings = _PROJECT.format(
        files=[f"{project.code}/{file}" for file in files],
        copied=["tools", *(name for name in project.needed if not name.startswith("tests"))],
        tests=_tests_of(project, package),
    )
    (folder / "pyproject.toml").write_text(settings, encoding="utf-8")
    log = folder / "mutmut.log"
    with log.open("w", encoding="utf-8") as output:
        ended = subprocess.run(  # noqa: S603  (our own words)
            [sys.executable, "-c", RUN_MUTMUT, "run", "--max-children", os.environ.get("WORKERS", "2")],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if ended.returncode:
        sys.exit(f"mutmut ended with {ended.returncode}: {log}")
    verdicts: dict[str, str] = {}
    with contextlib.chdir(folder):
        for file in files:
            results = SourceFileMutationData(path=f"{project.code}/{file}")
            results.load()
            verdicts |= {name: status_by_exit_code[code] for name, code in results.exit_code_by_key.items()}
    return verdicts


def _tests_of(project: Project, package: str) -> list[str]:
    """Name the test files that import the package, themselves or through a module beside them."""
    tests = project.root / project.tests
    sources = {file.stem: file.read_text(encoding="utf-8") for file in sorted(tests.glob("*.py"))}
    modules = [name.removesuffix("/*.py").removesuffix(".py") for name in project.packages[package]]
    names = [f"{project.imported}.{name.replace('/', '.')}" for name in (package, *modules)]
    at_home = {name for name, source in sources.items() if any(_imports(source, module) for module in names)}
    helpers = [name for name in at_home if not name.startswith("test_")]
    at_home |= {
        name for name, source in sources.items() if any(_imports(source, helper) for helper in helpers)
    }
    return [
        f"{project.tests}/{name}.py"
        for name in sorted(at_home)
        if name.startswith("test_") and not any(word in sources[name] for word in project.avoided)
    ]


def _imports(source: str, module: str) -> bool:
    return re.search(rf"^\s*(from|import) {re.escape(module)}\b", source, re.MULTILINE) is not None


def _shown(
    project: Project, package: str, survivors: Sequence[str], verdicts: Mapping[str, str]
) -> Iterator[str]:
    with contextlib.chdir(_folder(project, package)):
        reset_config()
        for name in survivors:
            yield f"# {name}: {verdicts[name]}\n{get_diff_for_mutant(name)}\n\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
