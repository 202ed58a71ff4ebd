"""The live frame on a terminal, drawn by rich: loaded only where there is a terminal and rich is there."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TextIO

from ecs_gpu_deploy.core.show.progress import Progress
from ecs_gpu_deploy.core.show.progress_view import frame, ticked

if TYPE_CHECKING:
    from rich.text import Text

_STYLES = {"strong": "bold", "done": "green", "active": "cyan", "late": "bold red", "quiet": "dim"}
_REFRESHES_PER_SECOND = 2


class LiveFrame:
    """A frame at the end of a terminal's output. Raises ImportError without rich."""

    def __init__(self, stream: TextIO, *, ticks: bool) -> None:
        """Draw on *stream*; with *ticks* the seconds run on between two looks at AWS."""
        from rich.console import Console  # noqa: PLC0415  (costs start-up time and memory)
        from rich.live import Live  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        self._look: tuple[Progress, float] | None = None
        self._ticks = ticks
        self._text: Callable[..., Text] = Text
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            auto_refresh=ticks,
            refresh_per_second=_REFRESHES_PER_SECOND,
            transient=True,
        )

    def show(self, progress: Progress) -> None:
        """Draw the frame anew."""
        self._look = (progress, time.monotonic())
        if not self._live.is_started:
            atexit.register(self.close)
            self._live.start()
        self._live.refresh()

    def print(self, line: str) -> None:
        """Write a line above the frame."""
        self._console.print(self._text(line), soft_wrap=True)

    def close(self) -> None:
        """Take the frame away and give the cursor back."""
        if self._live.is_started:
            self._live.stop()
            atexit.unregister(self.close)

    def _render(self) -> Text:
        text = self._text(no_wrap=True, overflow="ellipsis")
        if self._look is None:
            return text
        progress, seen_at = self._look
        shown = ticked(progress, time.monotonic() - seen_at) if self._ticks else progress
        for number, line in enumerate(frame(shown)):
            text.append("\n" if number else "")
            for style, part in line:
                text.append(part, style=_STYLES.get(style, ""))
        return text


def is_terminal(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Say whether *stream* is a terminal that can redraw, with somebody before it."""
    return stream.isatty() and environment.get("TERM", "") not in {"", "dumb"} and not environment.get("CI")


def live_frame(
    stream: TextIO, *, ticks: bool, environment: Mapping[str, str] = os.environ
) -> LiveFrame | None:
    """Return a frame where *stream* is a terminal that can redraw and rich is installed, otherwise None."""
    if not is_terminal(stream, environment):
        return None
    try:
        return LiveFrame(stream, ticks=ticks)
    except ImportError:
        return None
