"""`make release-rehearsal`: what release.yml does, in clones of this checkout, with no network but loopback.

Ends with the action as a workflow gets it by `@v0`: GitHub's composite step, bash, dist/, on the sandbox; and
with the image as it is pulled. Called as `image FOLDER` before the network is cut, it builds that image.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from action_tools import ROOT, action_process, ended, runner_environment
from tools.bundle import project_version

from docker_services import PASSWORD, USERNAME, daemon, registry, unmet
from program_image import build_program_image
from sandbox_process import clean_environment, sandbox_process

BUILT = "ecs-gpu-deploy:rehearsal"
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/ki-rag-api:good"


def told(step: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {step}", flush=True)


def run(at: Path, *command: str | Path, refused: str = "") -> str:
    """Run a command and return what it prints; one that has to be *refused* says this."""
    done = subprocess.run(command, cwd=at, capture_output=True, text=True, check=False)
    words = (done.stdout + done.stderr).strip()
    if (done.returncode != 0) != bool(refused) or refused not in words:
        raise SystemExit(f"{' '.join(map(str, command))}: exit {done.returncode}: {words}")
    return done.stdout.strip()


def released(at: Path, version: str) -> str:
    run(at, sys.executable, "-m", "tools.release", "tag", version)
    return run(at, sys.executable, "-m", "tools.release", "forward", version)


def rehearse(folder: Path, wheels: Path) -> None:
    version = project_version()
    major = f"v{version.partition('.')[0]}"
    origin, at, action = folder / "origin", folder / "checkout", folder / "action"
    run(folder, "git", "clone", "--quiet", "--bare", ROOT, origin)
    run(folder, "git", "clone", "--quiet", origin, at)
    run(at, "git", "checkout", "--quiet", "-B", "main")
    changelog = at / "CHANGELOG.md"
    changelog.write_text(changelog.read_text(encoding="utf-8").replace("## Unreleased", f"## {version}", 1))
    run(at, "git", "commit", "--quiet", "--all", "--message", f"Version {version}")
    run(at, "git", "push", "--quiet", "--force", "origin", "main")
    for name in run(at, "git", "tag").split():
        run(at, "git", "push", "--quiet", "origin", f":refs/tags/{name}")
    told("the maintainer names the version: done")

    print(run(at, sys.executable, "-m", "tools.bundle"))
    sums = (at / "dist" / "SHA256SUMS").read_bytes()
    run(at, sys.executable, "-m", "tools.bundle")
    if (at / "dist" / "SHA256SUMS").read_bytes() != sums:
        raise SystemExit("two runs of make bundle gave other bytes")
    run(at / "dist", "sha256sum", "--check", "--quiet", "SHA256SUMS")
    run(at, sys.executable, "-m", "tools.release", "check", version)
    told("the bundle: twice the same bytes, its sums hold, the versions agree")

    (wheel,) = wheels.glob("*.whl")
    path = f"import sys; sys.path.insert(0, {str(wheel)!r})"
    code = f"{path}; import ecs_gpu_deploy; print(ecs_gpu_deploy.__version__)"
    if run(folder, sys.executable, "-I", "-c", code) != version:
        raise SystemExit(f"{wheel.name} is of another version")
    told(f"the wheel: {wheel.name}")

    told(released(at, version))
    told(f"a second attempt goes on: {released(at, version)}")
    manifest = at / "dist" / "manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole + b"\n")
    run(at, sys.executable, "-m", "tools.release", "tag", version, refused="never moved")
    manifest.write_bytes(whole)
    told(f"v{version} with another dist/: refused")
    first, minor, patch = map(int, version.split("."))
    later, backport = f"{first}.{minor + 1}.0", f"{first}.{minor}.{patch + 1}"
    for other in (later, backport):  # the same dist/ serves: what is rehearsed is where the tags go
        told(released(at, other))

    run(folder, "git", "clone", "--quiet", "--depth=1", f"--branch={major}", f"file://{origin}", action)
    if not run(action, "git", "tag", "--points-at", "HEAD").count(f"{major}"):
        raise SystemExit(f"{major} is not what was cloned")
    run_action(folder, action)
    push_image(folder, wheels / "docker", version)


def run_action(folder: Path, action: Path) -> None:
    """Deploy and roll back with the tagged action, on a runner that reaches no package index."""
    workspace = folder / "workspace"
    workspace.mkdir()
    with sandbox_process() as sandbox:
        environment = {
            **runner_environment(folder),
            "PIP_FIND_LINKS": "/nowhere",
            **clean_environment(sandbox),
        }
        common = {"cluster": "ki-cluster", "service": "ki-rag-api"}
        for given in ({**common, "image": IMAGE}, {**common, "command": "rollback"}):
            began = time.monotonic()
            result = ended(action_process(action, given, environment, workspace))
            command = given.get("command", "deploy")
            if result.code != 0:
                raise SystemExit(f"{command}: exit {result.code}: {result.stdout}{result.stderr}")
            told(f"{command}: {result.outputs['outcome']}, {time.monotonic() - began:.1f} s of wall time")
    if (folder / "tool-cache").exists():
        raise SystemExit("the action has installed something")


def build_image(folder: Path) -> None:
    """Build the image while its packages can still be had, into the store of a daemon in *folder*."""
    if missing := unmet():
        print(f"the image is left out: {missing}")
        return
    folder.mkdir(parents=True, exist_ok=True)
    with daemon(folder / "docker") as environment:
        build_program_image(folder, BUILT, environment)
    told("the image is built")


def push_image(folder: Path, built: Path, version: str) -> None:
    """Push the image to a registry as to ghcr.io, and deploy with what is pulled from there by digest."""
    if not built.is_dir():
        told("the image: left out")
        return
    with daemon(built) as environment, registry(folder / "registry") as address, sandbox_process() as sandbox:

        def docker(*command: str, given: str | None = None) -> str:
            done = subprocess.run(
                ["docker", *command],
                input=given,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                raise SystemExit(f"docker {command[0]}: exit {done.returncode}: {done.stdout}{done.stderr}")
            return done.stdout.strip()

        image = f"{address}/ecs-gpu-deploy:{version}"
        docker("login", address, "--username", USERNAME, "--password-stdin", given=PASSWORD)
        docker("tag", BUILT, image)
        docker("push", "--quiet", image)
        digest = docker("inspect", "--format", "{{index .RepoDigests 0}}", image)
        docker("rmi", "--force", docker("inspect", "--format", "{{.Id}}", image))
        docker("pull", "--quiet", digest)
        variables = [f"--env={name}={value}" for name, value in sandbox.environment.items()]
        told(f"the image: {docker('run', '--rm', digest, '--version')} by its digest")
        docker(
            *("run", "--rm", "--network=host", *variables, digest, "deploy"),
            *("--cluster=ki-cluster", "--service=ki-rag-api", f"--image={IMAGE}"),
        )
        told("the image: deploy succeeded")


def main() -> int:
    if sys.argv[1] == "image":
        build_image(Path(sys.argv[2]).resolve())
        return 0
    for name in ("AUTHOR", "COMMITTER"):
        os.environ[f"GIT_{name}_NAME"] = "rehearsal"
        os.environ[f"GIT_{name}_EMAIL"] = "rehearsal@example.com"
    with tempfile.TemporaryDirectory() as folder:
        rehearse(Path(folder), Path(sys.argv[1]).resolve())
    print("the release was rehearsed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
