"""`make bundle`: the program and all that it needs, in dist/, as a release carries it.

A pack for each Python holds our modules and those of the locked packages that they reach, compiled; one more
holds their sources, for a Python that came later. bootstrap.py imports from them. Beside them lie botocore's
service models, those that our clients read, and its certificates. The packages are those of this environment,
held against the lock and their own records. Two runs give the same bytes: no times, no paths of this machine,
no order of chance.
"""

from __future__ import annotations

import argparse
import ast
import base64
import csv
import functools
import gzip
import hashlib
import io
import json
import marshal
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[1]
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
SERVICES: Final = (
    "autoscaling",
    "cloudwatch",
    "codedeploy",
    "ec2",
    "ecr",
    "ecr-public",
    "ecs",
    "elbv2",
    "events",
    "iam",
    "logs",
    "scheduler",
    "secretsmanager",
    "ssm",
    "stepfunctions",
    "sts",
)
"""The services that the program calls."""
OPERATIONS: Final[Mapping[str, frozenset[str]]] = {
    "ec2": frozenset({"DescribeImages", "DescribeSecurityGroups", "DescribeSubnets"})
}
"""Of a service with hundreds of operations, those that the program calls."""
SIGN_IN_SERVICES: Final = ("signin", "sso", "sso-oidc")
"""The services that botocore calls for the credentials of a profile."""
SHARED_MODELS: Final = (
    "_retry.json",
    "endpoints.json",
    "partitions.json",
    "sdk-default-configuration.json",
)
PACKAGES: Final = (
    "actions-toolkit",
    "boto3",
    "botocore",
    "jmespath",
    "python-dateutil",
    "pyyaml",
    "s3transfer",
    "six",
    "tenacity",
    "urllib3",
)
ROOTS: Final = ("ecs_gpu_deploy.__main__", "actions_toolkit.command", "actions_toolkit.file_command")
"""From what all the others are reached, by the imports that are written down in them."""
LEFT_OUT: Final = ("ecs_gpu_deploy.sandbox", "urllib3.contrib.emscripten", "urllib3.contrib.socks")
STAND_INS: Final[Mapping[str, str]] = {
    "boto3.resources.factory": "class ResourceFactory:\n    def __init__(self, emitter): pass\n",
    "botocore.docs.docstring": """class _None:
    def __new__(cls, **_): return ""
ClientMethodDocstring = PaginatorDocstring = WaiterDocstring = _None
""",
    "botocore.docs": "",
    "s3transfer": "",
    "s3transfer.manager": "class TransferConfig:\n    UNSET_DEFAULT = None\n",
    "urllib3.http2": "",
    "urllib3.http2.probe": "def acquire_and_get(host, port): return False\ndef set_and_release(*_): pass\n",
}
"""What botocore and boto3 import and no client of ours uses, as little as their imports need of it."""
TABLES: Final = (
    "ecs_gpu_deploy/core/capacity/gpu_prices.json",
    "ecs_gpu_deploy/core/diagnose/diagnoses.yml",
    "ecs_gpu_deploy/core/rules/rules.yml",
)
"""What stands in YAML or JSON and is a module of the bundle: `TABLE`, in a hundredth of the time."""
COMPILED: Final = ""
"""The member of a pack that says whether it holds code or sources; bootstrap.py reads it."""
COMPILED_WITH: Final = {
    "PYTHONHASHSEED": "0",
    "PYTHONNODEBUGRANGES": "1",  # a traceback shows its lines without columns: a fifth less to load
    "PYTHONSAFEPATH": "1",
    "PYTHONWARNINGS": "ignore",
}
COMPILER: Final = ROOT / "tools" / "compile_pack.py"
"""What each Python compiles with."""
WRITTEN_CLASS: Final = "ecs_gpu_deploy.written_class"
"""What the data classes that it writes out import: tools/written_class.py."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write dist/, and say what is in it."""
    parser = argparse.ArgumentParser(prog="tools.bundle", description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    parser.add_argument("--python", action="append", help="interpreter to compile with (default: those here)")
    options = parser.parse_args(arguments)
    pythons = [Path(python) for python in options.python] if options.python else interpreters()
    manifest = bundle(options.output, pythons)
    missing = [name for name in PYTHONS if name not in manifest["pythons"]]
    size = sum(file.stat().st_size for file in options.output.rglob("*") if file.is_file()) / 1e6
    there = ", ".join(manifest["pythons"])
    print(f"{options.output}: {len(manifest['modules'])} modules, {size:.1f} MB, for {there}")
    if missing:
        print(f"no Python {', '.join(missing)} here: there the action compiles the sources as it starts")
    return 0


def interpreters() -> list[Path]:
    """Find one interpreter a version: PYTHONS names them, else the PATH, GitHub's tool cache, pyenv."""
    if named := os.environ.get("PYTHONS"):
        return [Path(name) for name in named.split()]
    kept = (os.environ.get("RUNNER_TOOL_CACHE", ""), "Python/{}.*/x64/bin/python3")
    pyenv = (os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv")), "versions/{}.*/bin/python3")
    found = []
    for version in PYTHONS:
        places = [sys.executable, shutil.which(f"python{version}")]
        for root, form in (kept, pyenv):
            places += sorted(map(str, Path(root).glob(form.format(version)))) if root else []
        found += [Path(place) for place in places if place and version_of(Path(place)) == version][:1]
    return found


@functools.cache
def version_of(python: Path) -> str:
    """Return the version of an interpreter, such as 3.12; "" where it does not run."""
    code = "import sys; print('%d.%d' % sys.version_info[:2], sys.implementation.name)"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
    version, _, kind = done.stdout.strip().partition(" ")
    return version if kind == "cpython" else ""


def bundle(output: Path, pythons: Sequence[Path]) -> dict[str, Any]:
    """Write the bundle to *output*, whatever lay there, and return its manifest."""
    sources = modules()
    files = {"sources.pack": marshal.dumps({**sources, COMPILED: False})}
    files |= {f"cpython-{version_of(python)}.pack": compiled_by(python, sources) for python in pythons}
    files |= {**models(), **licences()}
    manifest = {
        "version": project_version(),
        "pythons": [version_of(python) for python in pythons],
        "packages": {name: distribution(name).version for name in PACKAGES},
        "services": [*SERVICES, *SIGN_IN_SERVICES],
        "modules": sorted(sources),
    }
    files["manifest.json"] = json.dumps(manifest, indent=1).encode() + b"\n"
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items()))
    shutil.rmtree(output, ignore_errors=True)
    for name, data in {**files, "SHA256SUMS": sums.encode()}.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_bytes(data)
    return manifest


def project_version() -> str:
    """Return the version that pyproject.toml names."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return re.search(r'^version = "([^"]+)"', text, re.MULTILINE)[1]  # type: ignore[index]


def modules() -> dict[str, tuple[bool, str]]:
    """Return our modules and all that they import, by name: whether each is a package, and its source."""
    ours = sorted((ROOT / "src" / "ecs_gpu_deploy").rglob("*.py"))
    there = {module_name(path.relative_to(ROOT / "src")): path for path in ours}
    for package in PACKAGES:
        there.update(modules_of(locked(package)))
    found: dict[str, tuple[bool, str]] = table_modules()
    found[WRITTEN_CLASS] = False, (ROOT / "tools" / "written_class.py").read_text(encoding="utf-8")
    wanted = [*ROOTS]
    while wanted:
        name = wanted.pop()
        if name in found or is_left_out(name):
            continue
        is_package = there[name].name == "__init__.py"
        source = STAND_INS[name] if name in STAND_INS else there[name].read_text(encoding="utf-8")
        found[name] = is_package, source
        reached = {name, *imported(source, name, is_package=is_package)}
        reached |= {parent for other in reached for parent in parents(other)}
        wanted += [other for other in sorted(reached) if other in there]
    unread = {name for name in table_modules() if next(parents(name)) not in found}
    return {name: found[name] for name in sorted(found.keys() - unread)}


def is_left_out(name: str) -> bool:
    """Say whether a module has no place in the bundle."""
    return any(name == other or name.startswith(f"{other}.") for other in LEFT_OUT)


def module_name(path: Path) -> str:
    """Return the name of the module that lies at a path of a folder of packages."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parents(name: str) -> Iterator[str]:
    """Yield the packages around a module."""
    while name := name.rpartition(".")[0]:
        yield name


def imported(source: str, module: str, *, is_package: bool) -> set[str]:
    """Return each name that *source* may import, in a function too; a member of a module is one as well."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                around = module.split(".") if is_package else module.split(".")[:-1]
                around = around[: len(around) - node.level + 1]
                base = ".".join([*around, *([node.module] if node.module else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


def locked(name: str) -> Distribution:
    """Return an installed package; SystemExit where it is not the locked one, or was altered."""
    found = distribution(name)
    lock = (ROOT / "locks" / "runtime.txt").read_text(encoding="utf-8")
    if not re.search(rf"^{re.escape(name)}=={re.escape(found.version)} ", lock, re.MULTILINE):
        raise SystemExit(f"{name} {found.version} is not the version in locks/runtime.txt: make clean")
    for path, digest, _ in csv.reader(io.StringIO(found.read_text("RECORD") or "")):
        if digest and path.endswith((".py", ".json", ".gz", ".pem")):
            data = Path(str(found.locate_file(path))).read_bytes()
            told = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            if digest != f"sha256={told}":
                raise SystemExit(f"{name}: {path} is not as it was installed: make clean")
    return found


def modules_of(package: Distribution) -> dict[str, Path]:
    """Return the Python files of a package by the names of their modules."""
    return {
        module_name(Path(str(file))): Path(str(package.locate_file(file)))
        for file in package.files or ()
        if file.suffix == ".py" and ".." not in file.parts and "data" not in file.parts[1:2]
    }


def table_modules() -> dict[str, tuple[bool, str]]:
    """Return our tables as modules."""
    found = {}
    for name in TABLES:
        table = yaml.safe_load((ROOT / "src" / name).read_text(encoding="utf-8"))
        found[module_name(Path(name))] = False, f"TABLE = {table!r}\n"
    return found


def compiled_by(python: Path, sources: Mapping[str, tuple[bool, str]]) -> bytes:
    """Return the pack that an interpreter makes of *sources*; no order of a set's items is left to chance."""
    return subprocess.run(  # noqa: S603
        [python, "-s", "-S", COMPILER],
        input=marshal.dumps(dict(sources)),
        env=dict(COMPILED_WITH),
        stdout=subprocess.PIPE,
        check=True,
    ).stdout


def models() -> dict[str, bytes]:
    """Return botocore's data, without its words and without the services that nobody calls."""
    package = locked("botocore")
    data = Path(str(package.locate_file("botocore/data")))
    found = {f"botocore/data/{name}": as_json(read_model(data / name)) for name in SHARED_MODELS}
    found["botocore/data/endpoints.json"] = as_json(with_few_services(read_model(data / "endpoints.json")))
    for service in (*SERVICES, *SIGN_IN_SERVICES):
        latest = max(path.name for path in (data / service).iterdir())
        for file in sorted((data / service / latest).iterdir()):
            name = file.name.removesuffix(".gz")
            if name.startswith(("service-2.", "endpoint-rule-set-1.")):
                model = with_few_operations(without_words(read_model(file)), OPERATIONS.get(service))
                found[f"botocore/data/{service}/{latest}/{name}"] = as_json(model)
    found["botocore/cacert.pem"] = Path(str(package.locate_file("botocore/cacert.pem"))).read_bytes()
    return found


def read_model(path: Path) -> Any:
    """Read a file of botocore's, packed or not."""
    if not path.exists():
        path = path.with_name(f"{path.name}.gz")
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)


def with_few_services(endpoints: dict[str, Any]) -> dict[str, Any]:
    """Leave only what is called in a list of endpoints; it names services by their hosts."""
    kept = {
        *SERVICES,
        *SIGN_IN_SERVICES,
        "api.ecr",
        "api.ecr-public",
        "elasticloadbalancing",
        "oidc",
        "portal.sso",
        "states",
    }
    for partition in endpoints["partitions"]:
        partition["services"] = {name: told for name, told in partition["services"].items() if name in kept}
    return endpoints


def with_few_operations(model: dict[str, Any], kept: frozenset[str] | None) -> dict[str, Any]:
    """Leave the operations *kept* in a service's model, and the shapes that they reach; None keeps all."""
    if kept is None or "operations" not in model:
        return model
    operations = {name: told for name, told in model["operations"].items() if name in kept}
    reached: set[str] = set()
    wanted = list(shapes_in(operations))
    while wanted:
        name = wanted.pop()
        if name not in reached:
            reached.add(name)
            wanted += shapes_in(model["shapes"][name])
    shapes = {name: shape for name, shape in model["shapes"].items() if name in reached}
    return {**model, "operations": operations, "shapes": shapes}


def shapes_in(value: Any) -> Iterator[str]:
    """Yield the names of shapes that a part of a model refers to."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name == "shape" and isinstance(item, str):
                yield item
            else:
                yield from shapes_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from shapes_in(item)


def without_words(value: Any) -> Any:
    """Leave the documentation out of a model; a member of that name is a structure, and stays."""
    if isinstance(value, dict):
        return {
            name: without_words(item)
            for name, item in value.items()
            if not (name == "documentation" and isinstance(item, str))
        }
    return [without_words(item) for item in value] if isinstance(value, list) else value


def as_json(value: object) -> bytes:
    """Return *value* as JSON without blanks."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def licences() -> dict[str, bytes]:
    """Return the licences of all that is in the bundle."""
    found = {"licenses/ecs-gpu-deploy/LICENSE": (ROOT / "LICENSE").read_bytes()}
    for name in PACKAGES:
        package = distribution(name)
        files = [file for file in package.files or () if is_licence(file.parts)]
        if not files:
            found[f"licenses/{name}/LICENSE"] = f"{package.metadata['License'] or ''}\n".encode()
        for file in files:
            found[f"licenses/{name}/{file.name}"] = Path(str(package.locate_file(file))).read_bytes()
    return found


def is_licence(parts: Sequence[str]) -> bool:
    """Say whether a file of a package is a licence or a notice."""
    names = ("LICEN", "NOTICE", "COPYING", "AUTHORS")
    return parts[0].endswith(".dist-info") and parts[-1].upper().startswith(names)


if __name__ == "__main__":
    sys.exit(main())
