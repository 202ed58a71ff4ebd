"""dist/ as a release carries it: whole, small, the same bytes twice, and enough to run from on its own."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import botocore.session
import pytest
from action_tools import ROOT, Ended, action_process, ended, runner_environment
from tools import bundle

from sandbox_process import clean_environment, sandbox_process

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
PACK = f"cpython-{VERSION}.pack"
CALLS = {"call", "change", "client", "once", "pages", "read"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out an action as a release has it: no sources, no lock file, nothing to install from."""
    place = tmp_path_factory.mktemp("released")
    for name in ("action.yml", "bootstrap.py"):
        shutil.copy(ROOT / name, place)
    bundle.bundle(place / "dist", [Path(sys.executable)])
    return place


@pytest.fixture
def action(built: Path, tmp_path: Path) -> Path:
    """Give a copy that may be spoilt."""
    return Path(shutil.copytree(built, tmp_path / "the action"))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Give a checkout that tries to get between: none of its modules may be imported."""
    place = tmp_path / "workspace"
    place.mkdir()
    for name in ("yaml", "json", "botocore", "ecs_gpu_deploy", "sitecustomize", "usercustomize", "marshal"):
        (place / f"{name}.py").write_text("raise SystemExit('the workspace was imported')", encoding="utf-8")
    (place / "evil.pth").write_text("import sys; sys.exit('the workspace was imported')\n", encoding="utf-8")
    return place


def released(tmp_path: Path, workspace: Path, **more: str) -> dict[str, str]:
    """Give a runner without a package index, whose variables point into the workspace."""
    return {
        **runner_environment(tmp_path),
        "PIP_FIND_LINKS": "/nowhere",
        "PYTHONPATH": str(workspace),
        "PYTHONHOME": str(workspace),
        "PYTHONUSERBASE": str(workspace),
        **more,
    }


def run(action: Path, workspace: Path, environment: dict[str, str], **given: str) -> Ended:
    return ended(action_process(action, given, environment, workspace))


def test_a_release_deploys_without_an_index_and_without_what_lies_in_the_workspace(
    built: Path, workspace: Path, tmp_path: Path
) -> None:
    before = sorted(path.relative_to(built) for path in built.rglob("*"))
    with sandbox_process() as sandbox:
        environment = released(tmp_path, workspace, **clean_environment(sandbox))
        image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/ki-rag-api:good"
        given = {"cluster": "ki-cluster", "service": "ki-rag-api", "image": image}
        good = run(built, workspace, environment, **given)
        crashed = run(built, workspace, environment, **{**given, "image": image.replace(":good", ":bad")})
    assert (good.code, good.outputs["outcome"]) == (0, "succeeded"), good.stderr
    assert crashed.code in {4, 5}, crashed.stderr
    assert json.loads(crashed.outputs["diagnoses"]), "the table of causes is there"
    assert sorted(path.relative_to(built) for path in built.rglob("*")) == before, "nothing is written there"
    assert not Path(environment["RUNNER_TOOL_CACHE"]).exists(), "nothing is installed"


def test_a_python_that_came_later_runs_from_the_sources(
    action: Path, workspace: Path, tmp_path: Path
) -> None:
    sums = action / "dist" / "SHA256SUMS"
    kept = [line for line in sums.read_text().splitlines(keepends=True) if not line.endswith(f" {PACK}\n")]
    sums.write_text("".join(kept))
    (action / "dist" / PACK).unlink()
    result = run(action, workspace, released(tmp_path, workspace), cluster="c", clustr="x")
    assert (result.code, result.outputs["outcome"]) == (2, "invalid")
    assert "'clustr'" in result.outputs["reason"]


def test_a_python_of_32_bits_runs_from_the_sources(action: Path, workspace: Path, tmp_path: Path) -> None:
    text = (action / "bootstrap.py").read_text(encoding="utf-8")
    (action / "bootstrap.py").write_text(text.replace("sys.maxsize", str(2**31 - 1)), encoding="utf-8")
    (action / "dist" / PACK).unlink()
    result = run(action, workspace, released(tmp_path, workspace), cluster="c", clustr="x")
    assert (result.code, result.outputs["outcome"]) == (2, "invalid")
    assert "'clustr'" in result.outputs["reason"]


@pytest.mark.parametrize("gone", ["ssl", "zlib"])
def test_a_python_that_was_built_without_a_module_is_told_of(
    gone: str, action: Path, workspace: Path, tmp_path: Path
) -> None:
    text = (action / "bootstrap.py").read_text(encoding="utf-8")
    without = text.replace('"""', f'import sys; sys.modules[{gone!r}] = None\n"""', 1)
    (action / "bootstrap.py").write_text(without, encoding="utf-8")
    result = run(action, workspace, released(tmp_path, workspace), cluster="c")
    assert (result.code, result.outputs["outcome"], result.outputs["exit-code"]) == (2, "invalid", "2")
    assert f"was built without {gone}" in result.outputs["reason"]
    assert "actions/setup-python" in result.outputs["reason"]


def test_a_clone_that_changes_the_ends_of_lines_leaves_dist_as_it_is(tmp_path: Path) -> None:
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    (origin / "dist" / "botocore").mkdir(parents=True)
    (origin / "dist" / "botocore" / "cacert.pem").write_bytes(b"-----\n-----\n")
    shutil.copy(ROOT / ".gitattributes", origin)
    author = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (["init", "--quiet"], ["add", "."], [*author, "commit", "--quiet", "--message", "dist"]):
        subprocess.run(["git", "-C", origin, *command], check=True)
    subprocess.run(["git", "clone", "--quiet", "-c", "core.autocrlf=true", origin, clone], check=True)
    assert (clone / "dist" / "botocore" / "cacert.pem").read_bytes() == b"-----\n-----\n"


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100_000])


def _altered(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def _emptied(file: Path) -> None:
    file.write_bytes(b"")


def _not_text(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\x8a")


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        (PACK, _cut),
        (PACK, _altered),
        (PACK, Path.unlink),
        ("botocore/data/ecs/2014-11-13/service-2.json", _altered),
        ("botocore/cacert.pem", Path.unlink),
        ("SHA256SUMS", _emptied),
        ("SHA256SUMS", Path.unlink),
        ("SHA256SUMS", _not_text),
    ],
)
def test_what_was_cut_off_or_altered_is_said_and_not_run(
    name: str, spoil: Callable[[Path], None], action: Path, workspace: Path, tmp_path: Path
) -> None:
    spoil(action / "dist" / name)
    result = run(action, workspace, released(tmp_path, workspace), cluster="c")
    assert result.code == 1
    assert result.outputs["reason"].startswith("This copy of the action is damaged: ")
    assert result.stderr == f"error: {result.outputs['reason']}\n"


def test_a_runner_without_python_is_told_what_to_add(built: Path, workspace: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "node"):
        (tools / name).symlink_to(str(shutil.which(name)))
    result = run(built, workspace, {**released(tmp_path, workspace), "PATH": str(tools)}, cluster="c")
    assert (result.code, result.outputs["outcome"], result.outputs["exit-code"]) == (2, "invalid", "2")
    assert "actions/setup-python" in result.outputs["reason"]
    assert result.stdout == f"::error title=ecs-gpu-deploy::{result.outputs['reason']}\n"


def test_a_runner_with_python_2_alone_is_told_what_to_add(
    built: Path, workspace: Path, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "node"):
        (tools / name).symlink_to(str(shutil.which(name)))
    (tools / "python").write_text("#!/bin/sh\necho 'Unknown option: -I' >&2\nexit 2\n")
    (tools / "python").chmod(0o755)
    result = run(built, workspace, {**released(tmp_path, workspace), "PATH": str(tools)}, cluster="c")
    assert (result.code, result.outputs["outcome"], result.outputs["exit-code"]) == (2, "invalid", "2")
    assert result.stderr == ""


def test_an_old_python_beside_a_new_one_hands_over(action: Path, workspace: Path, tmp_path: Path) -> None:
    text = (action / "bootstrap.py").read_text(encoding="utf-8")
    old = text.replace("sys.version_info < OLDEST", "'new' not in sys.executable")
    (action / "bootstrap.py").write_text(old.replace("_version_of(python) >= OLDEST", "'new' in python"))
    environment = released(tmp_path, workspace)
    newer = Path(environment["RUNNER_TOOL_CACHE"], "Python", "3.20.0", "new", "bin", "python3")
    newer.parent.mkdir(parents=True)
    newer.symlink_to(os.path.realpath(sys.executable))
    result = run(action, workspace, environment, cluster="c", clustr="x")
    assert (result.code, result.outputs["outcome"]) == (2, "invalid"), result.stderr
    assert "'clustr'" in result.outputs["reason"]


@pytest.mark.parametrize(("number", "code"), [(None, 7), (signal.SIGTERM, 9), (signal.SIGINT, 9)])
def test_where_a_process_cannot_be_replaced_its_code_and_signals_pass(
    number: signal.Signals | None, code: int, tmp_path: Path
) -> None:
    child = (
        "import signal, sys\n"
        "for number in (signal.SIGTERM, signal.SIGINT):\n"
        "    signal.signal(number, lambda *_: sys.exit(9))\n"
        "print('ready', flush=True)\n"
        f"{'signal.pause()' if number else 'sys.exit(7)'}"
    )
    stand_in = f"import runpy, sys; run = runpy.run_path({str(ROOT / 'bootstrap.py')!r})['_stood_in_for']"
    command = [sys.executable, "-I", "-c", f"{stand_in}; sys.exit(run([sys.executable, '-c', {child!r}]))"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    if number:
        process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code


def test_two_runs_give_the_same_bytes(built: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    subprocess.run(
        [sys.executable, "-m", "tools.bundle", "--python", sys.executable, "--output", str(again)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    assert (again / "SHA256SUMS").read_bytes() == (built / "dist" / "SHA256SUMS").read_bytes()


def test_the_sums_are_those_of_all_the_files_that_are_there(built: Path) -> None:
    dist = built / "dist"
    listed = dict(line.split("  ")[::-1] for line in (dist / "SHA256SUMS").read_text().splitlines())
    there = {path.relative_to(dist).as_posix() for path in dist.rglob("*") if path.is_file()}
    assert set(listed) == there - {"SHA256SUMS"}
    assert all(hashlib.sha256((dist / name).read_bytes()).hexdigest() == listed[name] for name in listed)


def test_packed_it_is_less_than_ten_megabytes_with_all_pythons(built: Path) -> None:
    pack = len(zlib.compress((built / "dist" / PACK).read_bytes()))
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        archive.add(built / "dist", "dist", filter=lambda member: None if PACK in member.name else member)
    assert len(whole.getvalue()) + len(bundle.PYTHONS) * pack < 10_000_000


def test_the_licence_of_each_package_is_there(built: Path) -> None:
    folders = built / "dist" / "licenses"
    for name in (*bundle.PACKAGES, "ecs-gpu-deploy"):
        texts = [path.read_text(encoding="utf-8") for path in (folders / name).iterdir()]
        assert any(len(text) > 500 for text in texts), name


def called_services() -> set[str]:
    """Return the services that the program names where it calls AWS."""
    found = set()
    for path in (ROOT / "src" / "ecs_gpu_deploy").rglob("*.py"):
        if "sandbox" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "api" and isinstance(node.value, ast.Constant):
                found.add(str(node.value.value))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                first = node.args[0]
                if (
                    node.func.attr in CALLS
                    and isinstance(first, ast.Constant)
                    and isinstance(first.value, str)
                ):
                    found.add(first.value)
    return found & set(botocore.session.Session().get_available_services())


def test_each_service_that_is_called_is_in_the_bundle() -> None:
    called = called_services()
    assert {"ecs", "ecr", "elbv2", "logs", "sts"} <= called
    assert called == set(bundle.SERVICES)


def test_the_models_in_the_bundle_make_every_client_in_every_partition(built: Path) -> None:
    data = str(built / "dist" / "botocore" / "data")
    few = {service: len(operations) for service, operations in bundle.OPERATIONS.items()}
    code = f"""
import botocore.loaders, botocore.session, json
loader = botocore.loaders.Loader([{data!r}], include_default_search_paths=False)
whole, cut = botocore.session.Session(), botocore.session.Session()
cut.register_component("data_loader", loader)
for service in {[*bundle.SERVICES, *bundle.SIGN_IN_SERVICES]!r}:
    for region in ("eu-central-1", "cn-north-1", "us-gov-west-1"):
        try:
            wanted = whole.create_client(service, region, aws_access_key_id="a", aws_secret_access_key="b")
        except Exception as error:
            wanted = None
        if wanted is not None:
            made = cut.create_client(service, region, aws_access_key_id="a", aws_secret_access_key="b")
            assert made.meta.endpoint_url == wanted.meta.endpoint_url
            there = made.meta.method_to_api_mapping
            assert there.items() <= wanted.meta.method_to_api_mapping.items()
            assert len(there) == {few!r}.get(service, len(wanted.meta.method_to_api_mapping))
"""
    subprocess.run([sys.executable, "-I", "-c", code], check=True, timeout=120)
