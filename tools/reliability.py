"""`make reliability`: end a job at every call, in each way, and write the counts into docs/reliability.md.

It starts sandbox and program as the tests do, so `tests` has to be on the path.
"""

from __future__ import annotations

import sys
from pathlib import Path

from kill_matrix import COMMANDS, matrix_of

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- begin: kill matrix -->\n", "<!-- end: kill matrix -->"
HEAD = "| Command | calls | kills | doubled | reversed | false sentences |\n|---|---|---|---|---|---|\n"


def main() -> int:
    """Write the table, and print what is wrong; return 1 where something is."""
    found = [matrix_of(command) for command in COMMANDS]
    table = HEAD + "".join(f"{matrix.row}\n" for matrix in found)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}{table}{END}{after}", encoding="utf-8")
    wrongs = [w for matrix in found for kind in ("doubled", "reversed", "false") for w in matrix.wrongs(kind)]
    print(table, *wrongs, sep="\n")
    print(f"{sum(matrix.seconds for matrix in found):.0f} s")
    return 1 if wrongs else 0


if __name__ == "__main__":
    sys.exit(main())
