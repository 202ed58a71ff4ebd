"""Cut the locks apart, so that each image layer installs what the layers below do not have."""

from __future__ import annotations

import re
import sys
from pathlib import Path

LOCKS = Path(__file__).parent
ORDER = ("torch-cuda", "runtime", "model", "dev", "ray")
BESIDE = ("bench-infinity", "bench-litserve")
"""Environments of their own, which share nothing with the service's but torch."""
CPU_TORCH = """torch==2.13.0+cpu \\
    --hash=sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b
"""


def entries(name: str) -> dict[str, str]:
    """Map each requirement line (name, version, marker) of a lock to its text with hashes."""
    text = (LOCKS / f"{name}.txt").read_text(encoding="utf-8")
    return {entry.split(" \\\n")[0]: entry for entry in re.split(r"\n(?=\S)", text.rstrip("\n"))}


def write(name: str, texts: list[str]) -> None:
    """Write a lock."""
    text = "".join(text.rstrip("\n") + "\n" for text in texts)
    (LOCKS / f"{name}.txt").write_text(text, encoding="utf-8")


def write_cpu_lock() -> None:
    """Write torch-cpu.txt from torch-cuda.txt."""
    plain = {
        line: text
        for line, text in entries("torch-cuda").items()
        if not re.match(r"torch==|nvidia-|cuda-|triton", line)
    }
    write("torch-cpu", [*plain.values(), CPU_TORCH])


def remove_what_lies_below(order: tuple[str, ...]) -> None:
    """Take out of each lock what an earlier one installs."""
    below: set[str] = set()
    for name in order:
        own = entries(name)
        write(name, [text for line, text in own.items() if line.split(" ")[0] not in below])
        below |= {line.split(" ")[0] for line in own}


if __name__ == "__main__":
    if sys.argv[1:] == ["cpu"]:
        write_cpu_lock()
    else:
        remove_what_lies_below(ORDER)
        for beside in BESIDE:
            remove_what_lies_below(("torch-cuda", beside))
