"""How soon a rollback is sent: calls and seconds from the start of the program to UpdateService.

Run: .venv/bin/python tests/bench/bench_rollback.py
The bounds: within 8 API calls and 1.5 s on the sandbox.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from program import REGISTRY, run_program
from sandbox_process import clean_environment, sandbox_process

SERVICE = ["--cluster", "ki-cluster", "--service", "ki-rag-api"]
RUNS = 5
CALLS, SECONDS = 8, 1.5


def main() -> int:
    """Measure, print, and return 1 where a bound is broken."""
    times, numbers = [], []
    with tempfile.TemporaryDirectory() as name, sandbox_process() as sandbox:
        folder = Path(name)
        run_program(sandbox, folder, ["deploy", *SERVICE, "--image", f"{REGISTRY}:good"])
        for _ in range(RUNS):
            before = len(sandbox.calls())
            command = [sys.executable, "-m", "ecs_gpu_deploy", "rollback", *SERVICE]
            began = time.monotonic()
            with subprocess.Popen(
                command, env=clean_environment(sandbox), stdout=subprocess.PIPE, text=True, cwd=os.sep
            ) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    if " began" in line:
                        times.append(time.monotonic() - began)
                        break
                process.communicate()
            operations = [call["operation"] for call in sandbox.calls()[before:]]
            numbers.append(operations.index("UpdateService") + 1)
    seconds = sorted(times)[len(times) // 2]
    print(f"UpdateService is call {max(numbers)} of at most {CALLS}, sent after {seconds:.2f} s (median of "
          f"{RUNS}) of at most {SECONDS} s")  # fmt: skip
    return int(max(numbers) > CALLS or seconds > SECONDS)


if __name__ == "__main__":
    sys.exit(main())
