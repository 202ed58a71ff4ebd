"""How soon a release of the action asks AWS, beside the official deploy action (Node), in one run.

start   bash (ours: composite) or node (theirs) to the first call to AWS: warm, and fresh, which is the first
        run out of an archive just unpacked, its files not in the page cache
memory  peak resident memory of a whole deploy on the sandbox, and of their start
size    the action packed, as the runner downloads it; downloads: what is fetched after that

NODE_ACTION names a checkout of aws-actions/amazon-ecs-deploy-task-definition (its action.yml and dist);
without it ours stands alone. PYTHONS as for `make bundle`; the first one here runs.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from first_call import refusing_aws  # noqa: E402

from sandbox_process import clean_environment, sandbox_process  # noqa: E402

ROUNDS = 21
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/ki-rag-api:good"
INPUTS = {"cluster": "ki-cluster", "service": "ki-rag-api", "image": IMAGE}
OFFICIAL = os.environ.get("NODE_ACTION", "")


def started(arrived, command, environment):
    """Return the seconds to the first call to AWS, which stands in *arrived* then."""
    arrived.clear()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    began = time.perf_counter()
    subprocess.run(command, env=environment, check=False, **quiet)
    return arrived[0] - began


def peak_megabytes(command, environment):
    """Return a process's peak resident memory, which starts at that of whoever forks it: somebody small."""
    code = (
        "import os, sys; pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, "
        "file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0), "
        "(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]); "
        "_, status, usage = os.wait4(pid, 0); print(status, usage.ru_maxrss)"
    )
    small = [sys.executable, "-I", "-S", "-c", code]
    told = subprocess.run([*small, *command], env=environment, check=True, capture_output=True, text=True)
    status, kibibytes = map(int, told.stdout.split())
    return status, kibibytes * 1024 / 1e6


def fresh(archive, folder):
    """Unpack the action, and have the system forget what it has just written."""
    shutil.rmtree(folder, ignore_errors=True)
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    os.sync()
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def packed(folder, archive, names):
    with tarfile.open(archive, "w:gz") as target:
        for name in names:
            target.add(folder / name, name)
    return archive


def main():
    with (
        tempfile.TemporaryDirectory() as temporary,
        sandbox_process() as sandbox,
        refusing_aws() as (address, arrived),
    ):
        place = Path(temporary)
        make = [sys.executable, "-m", "tools.bundle", "--output", str(place / "ours" / "dist")]
        subprocess.run(make, cwd=ROOT, check=True)
        versions = json.loads((place / "ours/dist/manifest.json").read_text(encoding="utf-8"))["pythons"]
        for name in ("action.yml", "bootstrap.py"):
            shutil.copy(ROOT / name, place / "ours")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": temporary,
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_REGION": "eu-central-1",
            "AWS_ENDPOINT_URL": address,
            "GITHUB_WORKSPACE": temporary,
        }
        python = os.path.realpath(os.environ.get("PYTHONS", sys.executable).split()[0])
        script = f'exec {python} -I -S -X utf8 "{place}/run-ours/bootstrap.py"'
        ours = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script]
        runs = {"ours": (ours, {**environment, "INPUTS": json.dumps(INPUTS)})}
        archives = {
            "ours": packed(place / "ours", place / "ours.tgz", ["action.yml", "bootstrap.py", "dist"])
        }
        if OFFICIAL:
            definition = place / "task-definition.json"
            definition.write_text(
                json.dumps({"family": "f", "containerDefinitions": [{"name": "a", "image": "b"}]})
            )
            inputs = {"task-definition": str(definition), "service": "s", "cluster": "c", "max-retries": "3"}
            variables = {f"INPUT_{name.upper()}": value for name, value in inputs.items()}
            runs["node"] = (["node", str(place / "run-node/dist/index.js")], {**environment, **variables})
            archives["node"] = packed(Path(OFFICIAL), place / "node.tgz", ["action.yml", "dist"])
        for name in runs:
            fresh(archives[name], place / f"run-{name}")
            started(arrived, *runs[name])
        warm, first = ({name: [] for name in runs} for _ in range(2))
        for _ in range(ROUNDS):
            for name, run in runs.items():
                warm[name].append(started(arrived, *run))
        for _ in range(ROUNDS // 3):
            for name, run in runs.items():
                fresh(archives[name], place / f"run-{name}")
                first[name].append(started(arrived, *run))
        memory = {name: peak_megabytes(*run)[1] for name, run in runs.items()}
        status, whole = peak_megabytes(ours, {**clean_environment(sandbox), "INPUTS": json.dumps(INPUTS)})
        assert status == 0, "the deploy did not succeed"
        told("warm", warm, 1.3)
        told("fresh", first, 1.6)
        starts = ", ".join(f"{name} {megabytes:.0f} MB" for name, megabytes in memory.items())
        print(f"memory: a whole deploy {whole:.0f} MB (limit 60); up to the first call: {starts}")
        sizes = ", ".join(f"{name} {path.stat().st_size / 1e6:.1f} MB" for name, path in archives.items())
        print(f"size packed: {sizes} (limit 10), for Python {', '.join(versions)}")
        print("downloads after the action itself: none")


def told(what, seconds, limit):
    """Print medians, and how ours stands to Node's: the median of the ratios of runs side by side."""
    medians = ", ".join(f"{name} {statistics.median(values):.3f} s" for name, values in seconds.items())
    ratio = ""
    if "node" in seconds:
        pairs = [ours / node for ours, node in zip(seconds["ours"], seconds["node"], strict=True)]
        ratio = f", {statistics.median(pairs):.2f}× (limit {limit})"
    print(f"start, {what}: {medians}{ratio}")


if __name__ == "__main__":
    main()
