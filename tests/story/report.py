"""What was done and what came of it, as Markdown and as HTML: pure functions over the acts."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ecs_gpu_deploy.core.text import span


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """What came of the requests of an act; p50 and p95 in seconds."""

    sent: int
    failed: int
    p50: float
    p95: float
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.sent:,} sent, {self.failed} failed, p50 {_ms(self.p50)}, p95 {_ms(self.p95)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of the action: its command, how it ended, why, and what proves it."""

    command: str
    exit_code: int
    outcome: str
    reason: str
    seconds: float
    codes: tuple[str, ...] = ()
    log_lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A part of the story; `began` in seconds since its start, `failure` says why it is not as told."""

    number: int
    title: str
    began: float = 0.0
    seconds: float = 0.0
    did: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()
    requests: Requests | None = None
    pictures: tuple[tuple[str, str], ...] = ()
    """Files beside the report, and what each shows."""
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All of it: when, on what, what is different from production, and the acts so far."""

    date: str
    machine: str
    parts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    acts: tuple[Act, ...] = field(default=())

    def with_act(self, act: Act) -> Story:
        """Add an act."""
        return replace(self, acts=(*self.acts, act))

    @property
    def seconds(self) -> float:
        """Seconds from the first act's begin to the last one's end."""
        return max((act.began + act.seconds for act in self.acts), default=0.0)

    @property
    def failure(self) -> str:
        """Which act failed and why; empty where all went as told."""
        return next((f"Act {act.number}, {act.title}: {act.failure}" for act in self.acts if act.failure), "")

    @property
    def verdict(self) -> str:
        """One sentence about it all."""
        sent = sum(act.requests.sent for act in self.acts if act.requests)
        failed = sum(act.requests.failed for act in self.acts if act.requests)
        told = f"{len(self.acts)} acts in {span(self.seconds)}"
        if self.failure:
            return f"{told}; it failed. {self.failure}"
        return f"{told}, all as they should be: {sent:,} requests under way, {failed} failed."


def markdown(story: Story, *, pictures: str) -> str:
    """Write the report; *pictures* is what stands before the pictures' names."""
    return "\n".join(_markdown_lines(story, pictures)) + "\n"


def _markdown_lines(story: Story, pictures: str) -> Iterator[str]:
    yield "# End to end"
    yield ""
    yield f"Made by `make e2e` on {story.date}: {story.machine}. Nothing here is written by hand."
    yield ""
    yield f"**{story.verdict}**"
    yield ""
    yield from (f"- {part}" for part in story.parts)
    yield ""
    if story.notes:
        yield "What is not as in production:"
        yield ""
        yield from (f"- {note}" for note in story.notes)
        yield ""
    yield "## Timeline"
    yield ""
    yield "```mermaid"
    yield "gantt"
    yield "    dateFormat X"
    yield "    axisFormat %M:%S"
    yield "    todayMarker off"
    for act in story.acts:
        state = "crit, " if act.failure else ""
        title = act.title.replace(":", " ").replace(",", "").replace(";", "").replace("#", "")
        yield f"    {act.number} {title} :{state}{act.began:.0f}, {act.began + act.seconds:.0f}"
    yield "```"
    yield ""
    yield "| | Act | Took | Ended as | Requests | p50 | p95 |"
    yield "|--:|:--|--:|:--|:--|--:|--:|"
    for act in story.acts:
        asked = act.requests
        figures = (
            f"{asked.sent:,} sent, **{asked.failed} failed** | {_ms(asked.p50)} | {_ms(asked.p95)}"
            if asked
            else "| |"
        )
        title = f"[{_cell(act.title)}](#{_anchor(act)})"
        yield f"| {act.number} | {title} | {span(act.seconds)} | {_ended(act)} | {figures} |"
    for act in story.acts:
        yield ""
        yield f"## {act.number} {act.title}"
        yield ""
        yield from (f"- {one}" for one in act.did)
        for run in act.runs:
            yield ""
            yield f"`{run.command}` → **{run.outcome}**, exit code {run.exit_code}, after {span(run.seconds)}"
            yield ""
            yield f"> {_cell(run.reason)}"
            if run.codes:
                yield ""
                yield f"Diagnosis: {', '.join(f'`{code}`' for code in run.codes)}"
            if run.log_lines:
                yield ""
                yield from ("````text", *run.log_lines, "````")
        if act.requests:
            yield ""
            yield f"Requests meanwhile: {act.requests}."
            yield from (f"- {problem}" for problem in act.requests.problems)
        if act.failure:
            yield ""
            yield f"**It failed: {act.failure}**"
        for file, shown in act.pictures:
            yield ""
            yield f"![{shown}]({pictures}{file})"


def _anchor(act: Act) -> str:
    kept = "".join(one for one in f"{act.number} {act.title}".lower() if one.isalnum() or one in " -")
    return kept.replace(" ", "-")


def _ended(act: Act) -> str:
    if act.failure:
        return "**failed**"
    return ", ".join(_in_short(run) for run in act.runs) or "done"


def _in_short(run: Run) -> str:
    return f"{run.outcome} (`{run.codes[0]}`)" if run.codes else run.outcome


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"


STYLE = """
:root { --ink: #1b2430; --soft: #5c6b7d; --line: #d9e0e8; --back: #f4f6f9; --good: #2a9d4a;
  --bad: #a4161a; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p.soft, li { color: var(--soft); }
p.verdict { font-weight: 600; }
table { border-collapse: collapse; width: 100%; background: #fff; border: 1px solid var(--line); }
td, th { text-align: left; padding: .35rem .6rem; border-top: 1px solid var(--line); vertical-align: top; }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.track { position: relative; height: .9rem; min-width: 16rem; background: var(--back);
  border-radius: .2rem; }
.bar { position: absolute; height: 100%; min-width: 2px; border-radius: .2rem; background: var(--good); }
.bar.failed { background: var(--bad); }
section { background: #fff; border: 1px solid var(--line); border-radius: .5rem;
  padding: .2rem 1rem 1rem; margin-top: 1rem; }
section h2 { margin-top: .8rem; }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { background: #10161e; color: #e6ebf2; padding: .7rem; overflow: auto; border-radius: .4rem;
  white-space: pre-wrap; }
blockquote { margin: .4rem 0; padding-left: .8rem; border-left: 3px solid var(--line); }
.failure { color: var(--bad); font-weight: 600; }
img { max-width: 100%; border: 1px solid var(--line); }
"""


def as_html(story: Story, *, pictures: str) -> str:
    """Write the report as one page without scripts; *pictures* is the folder of its pictures."""
    return "\n".join(_html_lines(story, pictures)) + "\n"


def _html_lines(story: Story, pictures: str) -> Iterator[str]:
    text = html.escape
    yield '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>End to end</title>'
    yield f"<style>{STYLE}</style></head><body><main><h1>End to end</h1>"
    yield f'<p class="soft">make e2e on {text(story.date)}: {text(story.machine)}</p>'
    yield f'<p class="verdict">{text(story.verdict)}</p>'
    heads = ("", "Act", "Timeline", "Took", "Ended as", "Requests")
    yield f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>"
    for act in story.acts:
        left, width = (100 * part / max(story.seconds, 1) for part in (act.began, act.seconds))
        state = " failed" if act.failure else ""
        place = f"left:{left:.1f}%;width:{width:.1f}%"
        bar = f'<div class="track"><div class="bar{state}" style="{place}"></div></div>'
        ended = "failed" if act.failure else ", ".join(_in_short(run).replace("`", "") for run in act.runs)
        asked = act.requests
        figures = f"{asked.sent:,} sent, <b>{asked.failed} failed</b>, p95 {_ms(asked.p95)}" if asked else ""
        yield (
            f'<tr><td class="number">{act.number}</td><td>{text(act.title)}</td><td>{bar}</td>'
            f'<td class="number">{span(act.seconds)}</td>'
            f"<td>{text(ended) or 'done'}</td><td>{figures}</td></tr>"
        )
    yield "</table>"
    yield from _list((*story.parts, *story.notes))
    for act in story.acts:
        yield f"<section><h2>{act.number} {text(act.title)}</h2>"
        yield from _list(act.did)
        for run in act.runs:
            codes = f" · {', '.join(run.codes)}" if run.codes else ""
            ended = f"<b>{text(run.outcome)}</b>, exit code {run.exit_code}, after {span(run.seconds)}"
            yield f"<p><code>{text(run.command)}</code> → {ended}{text(codes)}</p>"
            yield f"<blockquote>{text(run.reason)}</blockquote>"
            if run.log_lines:
                yield f"<pre>{text(chr(10).join(run.log_lines))}</pre>"
        if act.requests:
            yield f"<p>Requests meanwhile: {text(str(act.requests))}.</p>"
            yield from _list(act.requests.problems)
        if act.failure:
            yield f'<p class="failure">It failed: {text(act.failure)}</p>'
        for file, shown in act.pictures:
            yield f'<p><img src="{text(pictures)}/{text(file)}" alt="{text(shown)}"></p>'
        yield "</section>"
    yield "</main></body></html>"


def _list(items: Sequence[str]) -> Iterator[str]:
    if items:
        yield "<ul>" + "".join(f"<li>{html.escape(item).replace('`', '')}</li>" for item in items) + "</ul>"
