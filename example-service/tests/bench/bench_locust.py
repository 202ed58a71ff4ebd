"""The load of load/locustfile.py, by Locust in a process of its own: nobody fails, and batches fill."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

from bench_process import batches, service, verdict
from neighbours import installed

from running import DOCUMENTS, ROOT, ingest_folder

USERS, SECONDS = 64, 15


def main() -> int:
    command = [
        *(str(installed("locust") / "bin" / "locust"), "-f", str(ROOT / "load" / "locustfile.py")),
        *("--headless", "--json", "--loglevel", "ERROR", "--run-time", f"{SECONDS}s"),
        *("--users", str(USERS), "--spawn-rate", str(USERS)),
    ]
    with tempfile.TemporaryDirectory() as index:
        ingest_folder(DOCUMENTS, index, model="minilm")
        with service(INDEX_URI=index, EMBEDDING_MODEL="minilm", TORCH_THREADS="0") as (url, task):
            before = batches(task)
            done = subprocess.run([*command, "--host", url], capture_output=True, text=True)
            texts, number = (now - then for now, then in zip(batches(task), before, strict=True))
    (seen,) = json.loads(done.stdout)
    pace = seen["num_requests"] / (seen["last_request_timestamp"] - seen["start_time"])
    times = sorted((float(ms), count) for ms, count in seen["response_times"].items())
    each = texts / number
    print(f"     {USERS} users of Locust: {pace:.0f}/s, p95 {p95(times):.0f} ms, {each:.1f} texts a batch")
    none_failed = verdict("requests that failed", seen["num_failures"], 0, unit="")
    return 0 if none_failed and not done.returncode else 1


def p95(times: list[tuple[float, int]]) -> float:
    """Read the 95th percentile in ms from how often each time was seen."""
    left = 0.95 * sum(count for _, count in times)
    for ms, count in times:
        left -= count
        if left <= 0:
            return ms
    return 0.0


if __name__ == "__main__":
    sys.exit(main())
