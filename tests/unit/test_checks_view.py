"""What was looked up, as a log and a summary show it."""

from __future__ import annotations

from ecs_gpu_deploy.core.show.checks_view import checks_markdown, checks_sentence, checks_text
from ecs_gpu_deploy.result import Check, CheckStatus

NOT_CHECKED = CheckStatus.NOT_CHECKED
CHECKS = (
    Check(name="secrets", status=CheckStatus.OK, message="2 secrets there."),
    Check(name="task role", status=CheckStatus.FAILED, message="There is no role x|y.", hint="Create it."),
    Check(
        name="network",
        status=CheckStatus.NOT_CHECKED,
        message="Not checked: denied\x1b[3m.",
        hint="Allow it.",
    ),
)


def test_a_log() -> None:
    assert checks_text(CHECKS).splitlines() == [
        "checks:",
        "    ok           secrets: 2 secrets there.",
        "    FAILED       task role: There is no role x|y.",
        "                 Create it.",
        "    not checked  network: denied.",
        "                 Allow it.",
    ]


def test_a_summary() -> None:
    assert checks_markdown(CHECKS) == (
        "| Check | Of | Says |\n|---|---|---|\n"
        "| FAILED | task role | There is no role x\\|y. `Create it.` |\n"
        "| not checked | network | denied. `Allow it.` |\n\n"
        "As it should be: secrets."
    )
    assert checks_markdown(()) == ""


def test_a_sentence() -> None:
    assert checks_sentence(CHECKS) == "1 ok, 1 FAILED, 1 not checked"
    assert checks_sentence(()) == ""
