"""`make reliability`: end jobs at every call, answer oddly, and write the counts into docs/reliability.md.

`ONLY="odd answers"` makes one table. Everything starts as the tests do, so `tests` and `tests/scripted` have
to be on the path.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from kill_matrix import COMMANDS, matrix_of
from odd_answers import always_odd, once_odd

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reliability.md"


def main() -> int:
    """Write the tables that are named, or all, and print what is wrong; return 1 where something is."""
    wrongs = []
    for name in sys.argv[1:] or TABLES:
        table, found = TABLES[name]()
        _write(name, table)
        print(table, *found, sep="\n")
        wrongs += found
    return 1 if wrongs else 0


def kill_matrix() -> tuple[str, list[str]]:
    """Return the table of jobs that were ended at each call, and what is wrong."""
    found = [matrix_of(command) for command in COMMANDS]
    head = "| Command | calls | kills | doubled | reversed | false sentences |\n|---|---|---|---|---|---|\n"
    wrongs = [w for matrix in found for kind in ("doubled", "reversed", "false") for w in matrix.wrongs(kind)]
    return head + "".join(f"{matrix.row}\n" for matrix in found), wrongs


def odd_answers() -> tuple[str, list[str]]:
    """Return the table of answers that AWS never means, and what is wrong."""
    kinds = {"once each": once_odd(), "from beginning to end": always_odd()}
    head = "| Odd | answers | runs | exits 1 | false verdicts |\n|---|---|---|---|---|\n"
    rows = "".join(f"| {name} | {counts.row} |\n" for name, counts in kinds.items())
    return head + rows, [wrong for counts in kinds.values() for wrong in counts.wrongs]


TABLES: Mapping[str, Callable[[], tuple[str, list[str]]]] = {
    "kill matrix": kill_matrix,
    "odd answers": odd_answers,
}


def _write(name: str, table: str) -> None:
    begin, end = f"<!-- begin: {name} -->\n", f"<!-- end: {name} -->"
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    PAGE.write_text(f"{before}{begin}{table}{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
