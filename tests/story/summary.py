"""A job summary as a page, near to what GitHub makes of it; its Mermaid part is drawn here in bars."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from markdown_it import MarkdownIt

STYLE = """
body { margin: 0; padding: 1.5rem 2rem; font: 14px/1.5 system-ui, sans-serif; color: #1f2328;
  background: #fff; }
h2 { border-bottom: 1px solid #d1d9e0; padding-bottom: .3rem; font-size: 1.35rem; }
h3 { font-size: 1.05rem; }
pre { background: #f6f8fa; padding: .8rem; border-radius: .4rem; overflow: hidden;
  font: 12px/1.45 ui-monospace, monospace; white-space: pre-wrap; }
code { font: 12px ui-monospace, monospace; background: #eff1f3; padding: .1rem .3rem;
  border-radius: .3rem; }
pre code { background: none; padding: 0; }
table { border-collapse: collapse; }
td, th { border: 1px solid #d1d9e0; padding: .3rem .7rem; text-align: left; }
.gantt { display: grid; gap: .2rem; }
.gantt div { position: relative; height: 1.35rem; background: #f6f8fa; }
.gantt i { position: absolute; height: 100%; min-width: 2px; background: #b6d4f5; }
.gantt i.crit { background: #f5b6b6; }
.gantt span { position: absolute; left: .5rem; font-size: 12px; line-height: 1.35rem; }
"""
FENCE = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)
BAR = re.compile(r"^ *(?P<label>[^:\n]+) :(?P<flags>(?:\w+, )*)(?P<begins>\d+), (?P<ends>\d+)$", re.MULTILINE)


def page(summary: str) -> str:
    """Write a page of a summary in GitHub's Markdown."""
    drawn = FENCE.sub(lambda found: "\n".join(_bars(found[1])), summary)
    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(drawn)
    return f'<!doctype html><meta charset="utf-8"><style>{STYLE}</style>{body}'


def _bars(gantt: str) -> Iterator[str]:
    bars = [found.groupdict() for found in BAR.finditer(gantt)]
    first = min((int(bar["begins"]) for bar in bars), default=0)
    whole = max((int(bar["ends"]) for bar in bars), default=0) - first or 1
    yield '<div class="gantt">'
    for bar in bars:
        left, right = (100 * (int(bar[end]) - first) / whole for end in ("begins", "ends"))
        kind = ' class="crit"' if "crit" in bar["flags"] else ""
        yield (
            f'<div><i{kind} style="left:{left:.1f}%;width:{right - left:.1f}%"></i>'
            f"<span>{html.escape(bar['label'].strip())}</span></div>"
        )
    yield "</div>"
