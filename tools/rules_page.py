"""docs/rules.md, from the table of rules, the members of their document and the functions they may call."""

from __future__ import annotations

from ecs_gpu_deploy.core.rules.document import MEMBERS
from ecs_gpu_deploy.core.rules.expressions import FUNCTIONS
from ecs_gpu_deploy.core.rules.facts import FACTS
from ecs_gpu_deploy.core.rules.rule import built_in_rules

_OWN = """```yaml
- id: four-vcpu-a-gpu
  needs: [taskDefinition]
  when: >-
    facts.containers[?gpus && raw.cpu < times(gpus, `4096`)].{name: name, cpu: raw.cpu}
  severity: warning
  message: "The container {name} has {cpu} CPU units for its GPU, and our tokenizer needs 4096."
  hint: "Set cpu to 4096."
```"""


def rules_markdown() -> str:
    """Return `docs/rules.md`: what each rule says and what to do, and how own rules are written."""
    rules = built_in_rules()
    parts = [
        "# Rules",
        f"What `plan` says of a task definition and its service before anything is changed: {len(rules)} "
        "rules. An **error** surely breaks, a **warning** breaks many, an **info** is worth knowing. A rule "
        "that needs what could not be seen is named as not checked, with the reason, never passed over "
        "as right. In the texts, `{…}` is filled from what was found.",
        "| Rule | Severity | Says |\n|---|---|---|\n"
        + "\n".join(
            f"| [{each.id}](#{each.id}) | {each.severity} | {_cell(each.message)} |" for each in rules
        ),
        "## Own rules",
        "`rules` (`--rules FILE`) names a YAML or JSON file with a list of further rules; one with the id of "
        "a rule above replaces it. A broken expression, an unknown severity and an id that is there twice "
        "are refused with file and line. An expression may take two seconds (not on Windows): a rule whose "
        "regular expression comes to no end is `rules-not-checked`.",
        _OWN,
        "`when` is [JMESPath](https://jmespath.org/specification.html) over the document below, with further "
        "functions: each item of a list that it finds is one finding, an object or `true` is one, and null, "
        "false or an empty list are none. `{name}` in message and hint is a member of what was found, `{it}` "
        "what was found itself. `needs` names what has to be known. Two things about JMESPath: `!a.b` means "
        "`(!a).b`, so negate what stands in brackets; and after a list was filtered, a further filter comes "
        "behind a `|`.",
        "### Document",
        "| Member | What it is; null where it was not seen |\n|---|---|\n"
        + "\n".join(f"| `{name}` | {_cell(text)} |" for name, text in MEMBERS.items()),
        "`facts` has, of the whole: `usesGpu`, `gpus` (of a task), `mostFreeGpus` (of one instance), "
        "`gpuInstances`, `idleTimeout` (the longest before the service, seconds), `loadSeconds` "
        "(how long earlier tasks of this service took to become healthy), `waitSeconds`, "
        "`sessionSeconds`, `amis` (EC2's), `tags` (of the service and the revision), `now` "
        "(epoch seconds), `desired`, `atLeast`, `atMost` (tasks that a rolling update keeps and allows), "
        "`isRolling`; and `containers`, a list with an object a container:",
        "| Fact | What it is; null where it is not known |\n|---|---|\n"
        + "\n".join(f"| `{name}` | {_cell(text)} |" for name, text in FACTS.items()),
        "### Functions",
        "\n".join(f"- `{_call(text)}`: {_rest(text)}" for text in FUNCTIONS.values()),
        "## All rules",
    ]
    for rule in rules:
        parts += [
            f"### {rule.id}",
            f"{rule.severity}: {_text(rule.message)}",
            f"**Turn:** {_text(rule.hint)}",
        ]
        needs = ", ".join(f"`{need}`" for need in rule.needs if "[" not in need)
        parts.append(
            f"Needs {needs}. Source: {_source(rule.source)}." if needs else f"Source: {_source(rule.source)}."
        )
    return "\n\n".join(parts) + "\n"


def _text(text: str) -> str:
    """Return a sentence with its fields as code, so that Markdown shows them."""
    return text.replace("<", "&lt;")


def _cell(text: str) -> str:
    return _text(text).replace("|", "\\|")


def _source(source: str) -> str:
    return (
        f"[{source.removeprefix('docs/')}]({source.removeprefix('docs/')})"
        if source.startswith("docs/")
        else source
    )


def _call(text: str) -> str:
    return text.partition(")")[0] + ")"


def _rest(text: str) -> str:
    return text.partition(")")[2].lstrip(":. ") or "numbers, and texts of numbers."
