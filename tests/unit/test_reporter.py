"""What is written when: changed lines and a heartbeat in a log, a frame on a terminal."""

import io
import sys
from dataclasses import replace

import pytest

from ecs_gpu_deploy.core.judge.phases import PhaseName
from ecs_gpu_deploy.core.show.progress import Hook, Progress
from ecs_gpu_deploy.edges.ci.github import GitHub
from ecs_gpu_deploy.edges.machine.live import live_frame
from ecs_gpu_deploy.edges.machine.reporter import Reporter, emit


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


LOOK = Progress(
    at=1000,
    started_at=1000,
    phase=PhaseName.PULL,
    phase_seconds=0,
    deadline=1800,
    new_desired=2,
    old_running=2,
)


def look(seconds, **changes):
    return replace(LOOK, **{"at": 1000 + seconds, "phase_seconds": seconds, **changes})


@pytest.fixture
def log():
    return io.StringIO()


def test_a_log_gets_what_changed_and_a_heartbeat(log):
    reporter = Reporter(Clock(), log)
    for seconds in range(0, 200, 5):
        reporter.progress(look(seconds))
    loading = {"phase": PhaseName.LOAD, "phase_seconds": 3, "before": {PhaseName.PULL: 197}}
    reporter.progress(look(200, **loading, deadline=600, new_running=2))
    assert log.getvalue() == (
        "     0s  pull 0s of 30m · new 0/2 running · old 2\n"
        "     1m  pull 1m of 30m · new 0/2 running · old 2\n"
        "     2m  pull 2m of 30m · new 0/2 running · old 2\n"
        "     3m  pull 3m of 30m · new 0/2 running · old 2\n"
        "  3m20s  pull 3m17s · load 3s of 10m · new 2/2 running · old 2\n"
    )


def test_a_note_is_not_repeated_in_heartbeats(log):
    reporter = Reporter(Clock(), log)
    for seconds in (0, 60, 120):
        reporter.progress(look(seconds, note="AWS scales out"))
    reporter.progress(look(125, note="blocked"))
    notes = [line.rpartition(" · ")[2] for line in log.getvalue().splitlines()]
    assert notes == ["AWS scales out", "old 2", "old 2", "blocked"]


def test_another_line_stands_in_for_the_heartbeat(log):
    reporter = Reporter(Clock(), log)
    reporter.progress(look(0))
    reporter.say("something else", now=1050.0)
    reporter.progress(look(65))
    assert log.getvalue().count("pull") == 1


def test_a_waiting_hook_is_said_once_with_its_commands(log):
    reporter = Reporter(Clock(), log)
    hook = Hook(id="h1", stage="POST_SCALE_UP", continue_command="aws go", rollback_command="aws back")
    for seconds in (0, 5, 10):
        reporter.progress(look(seconds, hook=hook))
    assert log.getvalue() == (
        "     0s  the hook h1 waits at POST_SCALE_UP for an answer\n"
        "     0s    to go on:     aws go\n"
        "     0s    to roll back: aws back\n"
        "     0s  pull 0s of 30m · new 0/2 running · old 2 · a hook waits\n"
    )


def test_foreign_text_is_never_executed(log):
    reporter = Reporter(Clock(), log, groups=GitHub({"GITHUB_ACTIONS": "true"}, log))
    reporter.say("\x1b[2J::error::x\ny")
    reporter.event("(service rag) ##[error]x \x07", service="rag", now=1000.0)
    reporter.block("::error::x\n\x1b]0;t\x07##[group]z\n", title="log\n::stop-commands::t")
    assert log.getvalue() == (
        "     0s  : :error::x ⏎ y\n"
        "     0s  event: ## [error]x\n"
        "::group::log ⏎ ::stop-commands::t\n"
        "         : :error::x\n"
        "         ## [group]z\n"
        "::endgroup::\n"
    )


def test_outside_of_actions_a_block_has_a_head_line(log):
    Reporter(Clock(), log, groups=GitHub({}, log)).block("a\nb", title="log of task 1")
    assert log.getvalue() == "         log of task 1:\n         a\n         b\n"


def test_a_stream_that_lacks_a_character_gets_another():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    emit("load · 5s \ud83d", stream)
    assert raw.getvalue() == b"load ? 5s ?\n"
    stream.detach()


def test_a_terminal_gets_a_frame_with_the_lines_above_it(monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setenv("TERM", "xterm-256color")
    screen = Terminal()
    frame = live_frame(screen, ticks=False, environment={"TERM": "xterm-256color"})
    assert frame is not None
    reporter = Reporter(Clock(), screen, frame=frame)
    reporter.progress(look(0))
    reporter.say("task 0123 failed: [bold]exit 1[/bold]", now=1005.0)
    reporter.progress(look(5, note="AWS scales"))
    reporter.close()
    reporter.say("the end", now=1010.0)
    shown = screen.getvalue()
    assert "     5s  task 0123 failed: [bold]exit 1[/bold]" in shown
    assert "▸ pull" in shown
    assert "! AWS scales" in shown
    assert shown.endswith("    10s  the end\n")
    assert shown.index("\x1b[?25l") < shown.rindex("\x1b[?25h")


@pytest.mark.parametrize(
    ("stream", "environment"),
    [
        (io.StringIO(), {"TERM": "xterm"}),
        (Terminal(), {"TERM": "dumb"}),
        (Terminal(), {}),
        (Terminal(), {"TERM": "xterm", "CI": "true"}),
    ],
    ids=["a pipe", "a dumb terminal", "no terminal named", "a CI system's pseudo-terminal"],
)
def test_what_cannot_redraw_gets_no_frame(stream, environment):
    assert live_frame(stream, ticks=True, environment=environment) is None


def test_without_rich_a_terminal_gets_lines(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.live", None)
    assert live_frame(Terminal(), ticks=True, environment={"TERM": "xterm"}) is None
