"""The tables of docs/migrate.md: what the official actions take and give, and what stands for it here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Actions = Mapping[str, Mapping[str, Any]]


def official_actions_table(actions: Actions) -> str:
    """Return a section for each action of tools/official_actions.yml."""
    return "\n\n".join(_section(name, action) for name, action in actions.items())


def _section(name: str, action: Mapping[str, Any]) -> str:
    url = f"https://github.com/{name if '/' in name else f'aws-actions/{name}'}"
    rows = [_row(one, stands, "input") for one, stands in action["inputs"].items()]
    rows += [_row(one, stands, "output") for one, stands in action["outputs"].items()]
    head = f"### [{name}]({url}) {action['version']}\n\nInstead: {action['instead']}.\n\n"
    table = head + "| Theirs | Ours | What differs |\n|---|---|---|\n" + "\n".join(rows)
    asked = [_asked(one, how) for one, how in action.get("behaviours", {}).items()]
    return "\n\n".join([table, *(["\n".join([_ASKED, *asked])] if asked else [])])


_ASKED = """\
What its own tests ask of it, and whether it holds here:

| Asked | Here |
|---|---|"""


def _asked(behaviour: str, how: Mapping[str, str]) -> str:
    here = "holds" if "shown" in how else f"differs on purpose: {how['differs']}"
    return f"| {behaviour} | {here.replace('|', '&#124;')} |"


def _row(theirs: str, stands: Mapping[str, str], kind: str) -> str:
    ours = f"`{stands[kind]}`" if kind in stands else "–"
    output = " (output)" if kind == "output" else ""
    return f"| `{theirs}`{output} | {ours} | {stands.get('differs', '').replace('|', '&#124;')} |"
