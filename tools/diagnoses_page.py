"""docs/diagnoses.md, from the table of causes."""

from __future__ import annotations

from ecs_gpu_deploy.core.diagnose.table import cause_of, causes, codes


def diagnoses_markdown() -> str:
    """Return `docs/diagnoses.md`: what each code means and which knob to turn, from the table alone."""
    parts = [
        "# Diagnoses",
        "Every cause that a rollout, a batch task or `explain` can name. Of several, the one nearest to the "
        "root is named first: a CUDA error in the log comes before the health check it broke.",
        "| code | means |\n|---|---|\n"
        + "\n".join(f"| [{code}](#{code}) | {_cell(cause_of(code).meaning)} |" for code in codes()),
    ]
    for code in codes():
        entry, *cases = (cause for cause in causes() if cause.code == code)
        parts += [f"## {code}", entry.meaning, f"**Turn:** {entry.hint}"]
        parts += [f"- *{case.meaning}* {case.hint}" for case in cases if case.meaning != entry.meaning]
        parts.append(f"Source: {entry.source}.")
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
