"""Ten thousand documents on two Ray workers beside the single process: the same index, the pace of both."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import lancedb
import numpy as np

from rag_service.store import table_name
from running import process_environment

DOCUMENTS = int(sys.argv[1]) if sys.argv[1:] else 10_000
WORDS = ("task", "service", "deployment", "target", "health", "container", "driver", "memory", "queue")


def ingest(source: str, index: str, *options: str) -> tuple[dict[str, float], float]:
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "rag_service.ingest", source, *options],
        env=process_environment(INDEX_URI=index, EMBEDDING_MODEL="minilm", TORCH_THREADS="0"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), time.perf_counter() - began


def rows_of(index: str) -> list[dict[str, object]]:
    table = lancedb.connect(index).open_table(table_name("all-minilm-l6-v2", 384))
    return table.to_arrow().sort_by("id").to_pylist()


def main() -> int:
    chance = random.Random(8)
    with tempfile.TemporaryDirectory() as source, tempfile.TemporaryDirectory() as folder:
        for number in range(DOCUMENTS):
            words = " ".join(chance.choice(WORDS) for _ in range(chance.randint(15, 45)))
            Path(source, f"{number}.md").write_text(f"# Document {number}\n\n{words}")
        runs = {"one process": (), "two Ray workers": ("--engine", "ray", "--workers", "2")}
        for name, options in runs.items():
            summary, whole = ingest(source, f"{folder}/{name}", *options)
            print(
                f"     {name}: {summary['passages_total']} passages, "
                f"{summary['documents'] / summary['seconds']:.0f} documents/s, {whole:.0f} s with its start",
                flush=True,
            )
        one, two = (rows_of(f"{folder}/{name}") for name in runs)
    vectors = [np.array([row.pop("vector") for row in rows]) for rows in (one, two)]
    least = float((vectors[0] * vectors[1]).sum(axis=1).min()) if one == two else 0.0
    same = one == two and least > 0.9995
    print(
        f"{'ok  ' if same else 'MISS'} the same index, row by row; vectors differ by {1 - least:.0e} (cosine)"
    )
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
