"""Hold `plan` against what then happens: `python tests/bench/bench_foresight.py [WORLDS [SEED]]`.

Prints each rollout of the generated worlds that was foreseen wrong, and how many were right.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1])]

from foresight_runs import SEED, WORLDS, Looked, looks, worlds  # noqa: E402


def told(name: str, looked: list[Looked]) -> str:
    """Return how many were right and how far off the farthest ones were."""
    right = sum(each.is_right for each in looked)
    off = [each.off for each in looked] or [0.0]
    return f"{name}: {right} of {len(looked)} right, {min(off):+.0%} to {max(off):+.0%}"


if __name__ == "__main__":
    number, seed = (int(word) for word in (*sys.argv[1:], *(str(WORLDS), str(SEED))[len(sys.argv) - 1 :]))
    seen: list[Looked] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, world in worlds(number, seed=seed):
            for each in looks(name, world, Path(folder)):
                seen.append(each)
                if not each.is_right:
                    print(f"{name}, rollout {each.number}: {each}")
    print(told("all durations seen before", [each for each in seen if not each.guessed]))
    print(told("one was a guess", [each for each in seen if each.guessed]))
