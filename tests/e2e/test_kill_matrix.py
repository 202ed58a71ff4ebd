"""The calls of deploy, rollback, run-task and push, and each way in which a job is ended at them.

Here each call that changes something, and one of five others; `make reliability` does all, and writes
the counts into docs/reliability.md.
"""

import pytest

from kill_matrix import COMMANDS, matrix_of


@pytest.mark.parametrize("command", COMMANDS)
def test_whenever_a_job_is_ended_nothing_is_doubled_reversed_or_told_falsely(command, capsys):
    matrix = matrix_of(command, thinned=True)
    doubled, back, false = (matrix.wrongs(kind) for kind in ("doubled", "reversed", "false"))
    with capsys.disabled():
        print(
            f"\n{command}: {matrix.calls} calls, kills {len(matrix.struck)}, doubled {len(doubled)}, "
            f"reversed {len(back)}, false sentences {len(false)}, {matrix.seconds:.0f} s"
        )
    wrongs = [*doubled, *back, *false]
    assert not wrongs, "\n".join(wrongs)
    assert len(matrix.struck) >= 0.95 * len(matrix.ends)
