"""Write the tables of variables and outputs into README.md, or check them (--check).

Reads the `variable` and `output` blocks of the .tf files as `terraform fmt` leaves them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
BLOCK = re.compile(
    r'^(?P<kind>variable|output) "(?P<name>\w+)" \{\n(?P<body>.*?)^\}', re.MULTILINE | re.DOTALL
)


def main() -> int:
    """Write or check; exit code 1 where the README is out of date."""
    readme = FOLDER / "README.md"
    old = readme.read_text(encoding="utf-8")
    new = old
    for kind, table in (("variable", variables()), ("output", outputs())):
        begin, end = f"<!-- begin: {kind}s -->", f"<!-- end: {kind}s -->"
        before, _, rest = new.partition(begin)
        _, _, after = rest.partition(end)
        new = f"{before}{begin}\n{table}{end}{after}"
    if "--check" in sys.argv:
        if new != old:
            print("example-infra/README.md is out of date: run make infra-docs.", file=sys.stderr)
        return int(new != old)
    readme.write_text(new, encoding="utf-8")
    return 0


def variables() -> str:
    """Return the table of variables, in the order of variables.tf."""
    rows = "| Variable | Type | Default | Meaning |\n|---|---|---|---|\n"
    for name, body in _blocks("variable", "variables.tf"):
        default = _attribute(body, "default")
        shown = "**required**" if default is None else "" if default == "null" else f"`{default}`"
        rows += f"| `{name}` | {_attribute(body, 'type')} | {shown} | {_text(body)} |\n"
    return rows


def outputs() -> str:
    """Return the table of outputs, in the order of outputs.tf."""
    rows = "| Output | Meaning |\n|---|---|\n"
    for name, body in _blocks("output", "outputs.tf"):
        rows += f"| `{name}` | {_text(body)} |\n"
    return rows


def _blocks(kind: str, file: str) -> list[tuple[str, str]]:
    text = (FOLDER / file).read_text(encoding="utf-8")
    return [(found["name"], found["body"]) for found in BLOCK.finditer(text) if found["kind"] == kind]


def _attribute(body: str, name: str) -> str | None:
    found = re.search(rf"^  {name}\s+= (.+)$", body, re.MULTILINE)
    return found[1].removesuffix("({") if found else None


def _text(body: str) -> str:
    return (_attribute(body, "description") or "").strip('"').replace('\\"', '"').replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
