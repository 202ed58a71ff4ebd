"""Any text in any option: read, or refused in one sentence that names the option."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.checks import (
    check_answer,
    check_deploy,
    check_history,
    check_login,
    check_plan,
    check_register,
    check_render,
    check_role,
    check_rollback,
    check_run_task,
    check_status,
    check_watch,
)
from ecs_gpu_deploy.inputs.options import BY_NAME, OPTIONS
from ecs_gpu_deploy.inputs.settings import settings_from
from odd_texts import TEXTS, fuzzed

EXAMPLES = 40
"""For each option of the table, alone or with another one."""

CHECKS = {
    "deploy": check_deploy,
    "rollback": check_rollback,
    "run-task": check_run_task,
    "watch": check_watch,
    "continue": check_answer,
    "reject": check_answer,
    "history": check_history,
    "login": check_login,
    "plan": check_plan,
    "register": check_register,
    "status": check_status,
    "render": check_render,
}
NEEDED: Mapping[str, str] = {"cluster": "gpu", "service": "rag", "task-definition": "job:1"}


def _refusal(command: str, inputs: Mapping[str, str]) -> InvalidInput | None:
    try:
        read = settings_from(command, inputs=inputs)
        CHECKS[command](read)
        check_role(read)
    except InvalidInput as error:
        return error
    return None


def _check(command: str, chosen: Mapping[str, str]) -> None:
    base = {n: v for n, v in NEEDED.items() if any(o.name == n and command in o.commands for o in OPTIONS)}
    if command == "deploy":
        del base["task-definition"]
    error = _refusal(command, {**base, **chosen})
    if error is None:
        return
    told = f"{error.message} {error.hint}".replace("-", " ").lower()
    assert error.message.strip()
    assert "\n" not in error.message
    assert any(name.replace("-", " ") in told for name in chosen), error


@st.composite
def _inputs(draw: st.DrawFn, name: str) -> tuple[str, Mapping[str, str]]:
    command = draw(st.sampled_from(sorted(CHECKS.keys() & set(BY_NAME[name].commands))))
    others = sorted(o.name for o in OPTIONS if command in o.commands)
    chosen = {name, *draw(st.lists(st.sampled_from(others), max_size=1))}
    return command, {name: draw(TEXTS) for name in sorted(chosen)}


@pytest.mark.parametrize("name", sorted(BY_NAME))
@fuzzed(EXAMPLES)
@given(data=st.data())
def test_any_text_in_any_option_is_read_or_refused_by_its_name(name: str, data: st.DataObject) -> None:
    _check(*data.draw(_inputs(name)))


def test_there_are_enough_examples() -> None:
    assert len(BY_NAME) * EXAMPLES >= 3000
