"""Write the tables of variables and outputs into the READMEs of all modules here, or check them (--check).

Reads the `variable` and `output` blocks of the .tf files as `terraform fmt` leaves them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
MODULES = (FOLDER, *sorted(path.parent for path in FOLDER.glob("modules/*/variables.tf")))
BLOCK = re.compile(
    r'^(?P<kind>variable|output) "(?P<name>\w+)" \{\n(?P<body>.*?)^\}', re.MULTILINE | re.DOTALL
)


def main() -> int:
    """Write or check; exit code 1 where a README is out of date."""
    stale = False
    for module in MODULES:
        readme = module / "README.md"
        old = readme.read_text(encoding="utf-8")
        new = with_tables(old, module)
        if "--check" not in sys.argv:
            readme.write_text(new, encoding="utf-8")
        elif new != old:
            shown = readme.relative_to(FOLDER.parent)
            print(f"{shown} is out of date: run make infra-docs.", file=sys.stderr)
            stale = True
    return int(stale)


def with_tables(text: str, module: Path) -> str:
    """Return a README's text with the tables of today."""
    for kind, table in (("variable", variables(module)), ("output", outputs(module))):
        begin, end = f"<!-- begin: {kind}s -->", f"<!-- end: {kind}s -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{table}{end}{after}"
    return text


def variables(module: Path) -> str:
    """Return the table of a module's variables, in the order of variables.tf."""
    rows = "| Variable | Type | Default | Meaning |\n|---|---|---|---|\n"
    for name, body in _blocks(module, "variable"):
        default = _attribute(body, "default")
        shown = "**required**" if default is None else "" if default == "null" else f"`{default}`"
        rows += f"| `{name}` | {_attribute(body, 'type')} | {shown} | {_text(body)} |\n"
    return rows


def outputs(module: Path) -> str:
    """Return the table of a module's outputs, in the order of outputs.tf."""
    rows = "| Output | Meaning |\n|---|---|\n"
    for name, body in _blocks(module, "output"):
        rows += f"| `{name}` | {_text(body)} |\n"
    return rows


def _blocks(module: Path, kind: str) -> list[tuple[str, str]]:
    text = (module / f"{kind}s.tf").read_text(encoding="utf-8")
    return [(found["name"], found["body"]) for found in BLOCK.finditer(text) if found["kind"] == kind]


def _attribute(body: str, name: str) -> str | None:
    found = re.search(rf"^  {name}\s+= (.+)$", body, re.MULTILINE)
    return found[1].removesuffix("({") if found else None


def _text(body: str) -> str:
    return (_attribute(body, "description") or "").strip('"').replace('\\"', '"').replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
