"""The report of `make e2e`: what it says of acts that went well, and of one that did not."""

from __future__ import annotations

from story.load import Sample, summed
from story.report import Act, Requests, Run, Story, as_html, markdown
from story.summary import page

BAD = Run(
    command="deploy 0123abc",
    exit_code=5,
    outcome="rolled_back",
    reason="AWS rolled it back | <b>now</b>",
    seconds=61.0,
    codes=("out-of-memory",),
    log_lines=("Killed <by> the kernel",),
)
REQUESTS = Requests(sent=1200, failed=0, p50=0.02, p95=0.21)
STORY = Story(
    date="2026-11-26",
    machine="2 cores",
    parts=("Docker: 20",),
    notes=("No GPU.",),
    acts=(
        Act(number=1, title="It starts", began=0.0, seconds=20.0, did=("three parts",)),
        Act(number=2, title="Too large: it ends", began=20.0, seconds=70.0, runs=(BAD,), requests=REQUESTS),
    ),
)
BROKEN = STORY.with_act(Act(number=3, title="Back", began=90.0, seconds=1.0, failure="nobody answers"))


def test_the_verdict_counts_acts_time_and_requests() -> None:
    assert STORY.verdict == "2 acts in 1m30s, all as they should be: 1,200 requests under way, 0 failed."
    assert STORY.failure == ""


def test_a_failure_is_named_with_its_act() -> None:
    assert BROKEN.verdict == "3 acts in 1m31s; it failed. Act 3, Back: nobody answers"


def test_markdown_has_a_timeline_and_what_proves_each_run() -> None:
    text = markdown(STORY, pictures="pictures/x-")
    assert "    2 Too large  it ends :20, 90" in text
    row = "| 2 | [Too large: it ends](#2-too-large-it-ends) | 1m10s | rolled_back (`out-of-memory`) |"
    assert f"{row} 1,200 sent, **0 failed** | 20 ms | 210 ms |" in text
    assert "| 1 | [It starts](#1-it-starts) | 20s | done | | | |" in text
    assert "> AWS rolled it back \\| <b>now</b>" in text
    assert "````text\nKilled <by> the kernel\n````" in text


def test_html_shows_foreign_text_as_text() -> None:
    text = as_html(STORY, pictures="pictures")
    assert "&lt;b&gt;now&lt;/b&gt;" in text
    assert "Killed &lt;by&gt; the kernel" in text
    assert "left:22.2%;width:77.8%" in text


def test_a_summary_is_drawn_with_its_mermaid_part_as_bars() -> None:
    gantt = "```mermaid\ngantt\n    dateFormat x\n    pull 5s :0, 5000\n    load 5s :crit, 5000, 10000\n```\n"
    text = page(f"## Rolled back\n\n{gantt}\n| a |\n|:--|\n| b |\n")
    assert "<h2>Rolled back</h2>" in text
    assert '<i class="crit" style="left:50.0%;width:50.0%">' in text
    assert "<td" in text


def test_requests_are_summed_up() -> None:
    samples = [Sample(due=float(n), seconds=n / 100) for n in range(1, 100)]
    assert summed(samples) == Requests(sent=99, failed=0, p50=0.5, p95=0.95)
    broken = summed([*samples, Sample(due=0.0, seconds=9.0, problem="503"), *samples[:1]])
    assert broken is not None
    assert (broken.failed, broken.problems) == (1, ("503",))
    assert summed([]) is None
