"""`python -m tools.docs`: write the generated parts of the docs; with --check, say what is stale.

A generated part stands between `begin: NAME` and `end: NAME` in a comment of the file's own kind, so that
the text around it is written by hand. One source each: the table of options, diagnoses.yml.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import yaml

from ecs_gpu_deploy.inputs.options import ALL, GROUPS
from ecs_gpu_deploy.result import EXIT_CODES, Outcome
from tools.action_metadata import OUTPUTS, action_options, with_generated_sections
from tools.config_schema import config_schema
from tools.diagnoses_page import diagnoses_markdown
from tools.first_sight import first_sight_table
from tools.migrate_page import official_actions_table
from tools.permissions import permissions_markdown
from tools.reusable_workflows import reusable
from tools.role_file import role_policy
from tools.rules_page import rules_markdown
from tools.scenarios_page import scenarios_page
from tools.troubleshooting_page import troubleshooting_page

ROOT = Path(__file__).resolve().parents[1]


def action_yml() -> str:
    """Return action.yml with its inputs and outputs as the table has them."""
    return with_generated_sections((ROOT / "action.yml").read_text(encoding="utf-8"))


def inputs_table(title: str) -> str:
    """Return the table of the options that serve a task."""
    lines = ["| Input / flag | Default | Of | Meaning |", "|---|---|---|---|"]
    options = {option.name: option for option in action_options()}
    for option in (options[name] for name in GROUPS[title] if name in options):
        default = f"`{option.default}`" if option.default else ""
        choices = f" One of: {', '.join(option.choices)}." if option.choices else ""
        commands = "all" if set(option.commands) == set(ALL) else ", ".join(option.commands)
        text = (option.help + choices).replace("|", "&#124;")
        lines.append(f"| `{option.name}` | {default} | {commands} | {text} |")
    return "\n".join(lines)


def outputs_table() -> str:
    """Return the table of the action's outputs."""
    rows = (f"| `{name}` | {text} |" for name, text in OUTPUTS.items())
    return "\n".join(["| Output | What it says |", "|---|---|", *rows])


def exit_codes_table() -> str:
    """Return the table of exit codes with the outcome that stands in the result."""
    outcomes: dict[int, str] = {}
    for outcome in Outcome:
        others = f"{outcomes[outcome.exit_code]}, " if outcome.exit_code in outcomes else ""
        outcomes[outcome.exit_code] = f"{others}`{outcome}`"
    lines = ["| Exit code | Means | Outcome |", "|---|---|---|"]
    for code, meaning in EXIT_CODES.items():
        lines.append(f"| {code} | {meaning} | {outcomes.get(code, f'`{Outcome.FAILED}`')} |")
    return "\n".join(lines)


def permissions() -> str:
    """Return the page of IAM permissions from the calls that `make permissions` recorded."""
    recorded = json.loads((ROOT / "docs" / "permissions.json").read_text(encoding="utf-8"))
    return permissions_markdown(recorded)


def official_actions() -> str:
    """Return the tables of what the official actions take and give."""
    actions = (ROOT / "tools" / "official_actions.yml").read_text(encoding="utf-8")
    return official_actions_table(yaml.safe_load(actions))


def role() -> str:
    """Return what the role of a repository's jobs is allowed."""
    return role_policy(json.loads((ROOT / "docs" / "permissions.json").read_text(encoding="utf-8")))


def troubleshooting() -> str:
    """Return the page of ECS's messages."""
    messages = (ROOT / "tests" / "data" / "messages.yml").read_text(encoding="utf-8")
    return troubleshooting_page(yaml.load(messages, Loader=yaml.CSafeLoader))


PARTS: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"exit codes": exit_codes_table, "outputs": outputs_table},
    "docs/inputs.md": {title: partial(inputs_table, title) for title in GROUPS},
    "docs/terraform/role.tf": {"policy": role},
    "docs/migrate.md": {"official actions": official_actions},
    "docs/messages.md": {"first sight": first_sight_table},
    ".github/workflows/deploy.yml": reusable("deploy", job="deploy"),
    ".github/workflows/rollback.yml": reusable("rollback", job="rollback"),
    ".github/workflows/batch.yml": reusable("run-task", job="batch"),
    ".github/workflows/plan.yml": reusable("plan", job="plan"),
}
WHOLE: dict[str, Callable[[], str]] = {
    "docs/permissions.md": permissions,
    "action.yml": action_yml,
    "docs/config.schema.json": config_schema,
    "docs/diagnoses.md": diagnoses_markdown,
    "docs/rules.md": rules_markdown,
    "docs/troubleshooting.md": troubleshooting,
    "docs/scenarios.md": lambda: scenarios_page(ROOT / "tests/scenarios", ROOT / "tests/scripted"),
}


def with_part(text: str, name: str, body: str) -> str:
    """Return a page with *body* between its `begin: NAME` and `end: NAME`."""
    pattern = re.compile(
        rf"(^[^\n]*begin: {re.escape(name)}\b[^\n]*\n).*?(^[^\n]*end: {re.escape(name)}\b)", re.M | re.S
    )
    if not pattern.search(text):
        raise SystemExit(f"no part {name!r} between `begin: {name}` and `end: {name}`")
    return pattern.sub(lambda match: f"{match[1]}{body}\n{match[2]}", text, count=1)


def generated() -> dict[Path, str]:
    """Return every file with its generated parts as they should be."""
    files = {ROOT / name: make().rstrip() + "\n" for name, make in WHOLE.items()}
    for name, parts in PARTS.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        for part, make in parts.items():
            text = with_part(text, part, make())
        files[ROOT / name] = text
    return files


def main(arguments: Sequence[str]) -> int:
    """Write what is stale, or with --check only name it and return 1."""
    stale = [
        (path, text)
        for path, text in generated().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path, text in stale:
        if "--check" in arguments:
            print(f"stale: {path.relative_to(ROOT)} (run `make docs`)", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
