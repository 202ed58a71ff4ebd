"""A client's output, read as it comes: lines to show, what each step printed, and bytes that are on the way.

Memory is bounded whatever is printed: of a line its beginning stays, of a step its last lines.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from ecs_gpu_deploy.core.image.build_log import BuildLog, Step
from ecs_gpu_deploy.core.image.layers import size_text

TAIL: Final = 40
MAX_LINE: Final = 8_000
_MAX_EVENT: Final = 16_000_000
_ESCAPES: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b.?")


class Lines:
    """Bytes to lines. Only a line feed ends one: what a step prints cannot begin a line of the builder's."""

    def __init__(self, longest: int = MAX_LINE) -> None:
        self._rest = b""
        self._longest = longest

    def fed(self, data: bytes) -> Iterator[str]:
        """Yield the lines that *data* completes; of what follows a carriage return the last part."""
        *whole, rest = (self._rest + data).split(b"\n")
        for line in whole:
            yield self._text(line)
        self._rest = rest[: self._longest]

    def ended(self) -> Iterator[str]:
        """Yield what is left."""
        if self._rest:
            yield self._text(self._rest)
        self._rest = b""

    def _text(self, line: bytes) -> str:
        text = line[: self._longest].decode("utf-8", "replace").rstrip("\r")
        return text.rpartition("\r")[2] or text.replace("\r", " ")


Redacted = Callable[[str], str]
"""Cuts secrets out of a line."""


class Reading(Protocol):
    """Whoever understands a client's output. What it keeps and gives back has no secret in it."""

    def line(self, text: str) -> Iterator[str]:
        """Take a line of output and yield what is to be shown."""

    def now(self) -> str:
        """Say what goes on, for a heartbeat; "" where that does not show."""


class PlainText:
    """Output that is shown as it is: of logins, inspections and pushes."""

    def __init__(self, redacted: Redacted) -> None:
        self._redacted = redacted
        self.lines: deque[str] = deque(maxlen=TAIL * 5)

    def line(self, text: str) -> Iterator[str]:
        """Take a line, and show it."""
        text = self._redacted(text)
        if text.strip():
            self.lines.append(text)
            yield text

    def now(self) -> str:
        """Nothing shows."""
        return ""


_LAYER: Final = re.compile(
    r"(?P<layer>[0-9a-f]{12}): (?P<state>[A-Z][a-z' ]+?) *(?:\[[=> ]*\])? *"
    r"(?:(?P<current>[\d.]+[kMGT]?B)(?:/(?P<total>[\d.]+[kMGT]?B))?)?"
)
_UNITS: Final = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


class PushProgress(PlainText):
    """`docker push` on a terminal: it redraws a line for each layer, and only there it says bytes."""

    def __init__(self, redacted: Redacted) -> None:
        super().__init__(redacted)
        self._states: dict[str, str] = {}
        self._bytes: dict[str, tuple[float, float]] = {}

    def line(self, text: str) -> Iterator[str]:
        """Take a line; of a layer only a new state is shown."""
        for part in re.split(r"\r|\x1b\[\d*[ABK]", text):
            bare = self._redacted(_ESCAPES.sub("", part).strip())
            found = _LAYER.fullmatch(bare)
            if found is None:
                if bare:
                    self.lines.append(bare)
                    yield bare
                continue
            if found["current"]:
                total = _bytes(found["total"] or found["current"])
                self._bytes[found["layer"]] = (_bytes(found["current"]), total)
            elif found["state"] == "Pushed" and found["layer"] in self._bytes:
                total = self._bytes[found["layer"]][1]
                self._bytes[found["layer"]] = (total, total)
            if self._states.get(found["layer"]) != found["state"]:
                self._states[found["layer"]] = found["state"]
                if found["state"] not in {"Preparing", "Waiting"}:
                    shown = f"{found['layer']}: {found['state']}"
                    self.lines.append(shown)
                    yield shown

    def now(self) -> str:
        """Say how many bytes arrived of those that are to be sent."""
        return _of_bytes(self._bytes.values(), "sent")


def _bytes(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)([kMGT]?B)", text)
    try:
        return float(found[1]) * _UNITS[found[2]] if found else 0.0
    except ValueError:
        return 0.0


def _of_bytes(counts: Any, did: str) -> str:
    pairs = list(counts)
    total = sum(total for _, total in pairs)
    if not total:
        return ""
    return f"{size_text(int(sum(current for current, _ in pairs)))} of {size_text(int(total))} {did}"


@dataclass(slots=True, kw_only=True)
class _Vertex:
    """A step as it grows."""

    number: int = 0
    name: str = ""
    error: str = ""
    is_over: bool = False
    told: bool = False
    output: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))
    partial: Lines = field(default_factory=Lines)
    bytes: dict[str, tuple[float, float]] = field(default_factory=dict)


class _Steps:
    """The steps seen so far, and what was printed beside them."""

    def __init__(self, redacted: Redacted) -> None:
        self._redacted = redacted
        self.vertices: dict[str, _Vertex] = {}
        self.lines: deque[str] = deque(maxlen=TAIL)
        self._source_line = 0
        self._named = 0

    def vertex(self, key: str) -> _Vertex:
        return self.vertices.setdefault(key, _Vertex())

    def beside(self, text: str) -> None:
        """Take a line that is no step's output; BuildKit names the Dockerfile's line between two rules."""
        found = re.fullmatch(r"[\w./@ -]*?[\w.-]+:(\d+)", text.strip())
        if found:
            self._named = int(found[1])
        elif set(text.strip()) == {"-"} and self._named and not self._source_line:
            self._source_line = self._named
        elif text.strip():
            self._named = 0
        self.lines.append(text)

    def log(self) -> BuildLog:
        """Return what the build told. Of steps that failed, those stopped because of another do not count."""
        failed = [one for one in self.vertices.values() if one.error]
        own = [one for one in failed if "context canceled" not in one.error] or failed
        step = None
        if own:
            step = Step(name=own[0].name, error=own[0].error.strip(), output=tuple(own[0].output))
        return BuildLog(failed=step, lines=tuple(self.lines), line=self._source_line)

    def now(self) -> str:
        """Say which step goes on, and its bytes."""
        going = [one for one in self.vertices.values() if one.told and not one.is_over]
        if not going:
            return ""
        told = _of_bytes((pair for one in going for pair in one.bytes.values()), "done")
        return f"{going[-1].name}{': ' if told else ''}{told}"


class RawJson(_Steps):
    """BuildKit's events, `--progress rawjson` (buildx 0.13 and newer); shown as its plain text would be."""

    def __init__(self, redacted: Redacted) -> None:
        super().__init__(redacted)
        self._event: list[str] = []
        self._size = 0

    def line(self, text: str) -> Iterator[str]:
        """Take a line: a part of an event, or text that the client prints beside them."""
        if not self._event and not text.startswith("{"):
            text = self._redacted(text)
            self.beside(text)
            if text.strip():
                yield text
            return
        self._event.append(text)
        self._size += len(text)
        if text == "}" or (len(self._event) == 1 and text.endswith("}")):
            event: Any = None
            with contextlib.suppress(ValueError):
                event = json.loads("\n".join(self._event))
            self._event, self._size = [], 0
            if isinstance(event, dict):
                yield from self._taken(event)
        elif self._size > _MAX_EVENT:
            self._event, self._size = [], 0

    def _taken(self, event: dict[str, Any]) -> Iterator[str]:
        for one in event.get("vertexes") or ():
            yield from self._vertex(one)
        for one in event.get("statuses") or ():
            vertex = self.vertex(str(one.get("vertex", "")))
            current, total = float(one.get("current") or 0), float(one.get("total") or 0)
            if total:
                vertex.bytes[str(one.get("id", ""))] = (current, total)
        for one in event.get("logs") or ():
            vertex = self.vertex(str(one.get("vertex", "")))
            data = b""
            with contextlib.suppress(binascii.Error, ValueError):
                data = base64.b64decode(str(one.get("data") or one.get("msg") or ""))
            yield from self._printed(vertex, vertex.partial.fed(data))
        for one in event.get("warnings") or ():
            short = one.get("short")
            with contextlib.suppress(binascii.Error, ValueError, TypeError):
                yield f"warning: {base64.b64decode(str(short)).decode('utf-8', 'replace')}"

    def _printed(self, vertex: _Vertex, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            text = self._redacted(line)
            vertex.output.append(text)
            if text.strip():
                yield f"#{vertex.number} {text}"

    def _vertex(self, one: dict[str, Any]) -> Iterator[str]:
        vertex = self.vertex(str(one.get("digest", "")))
        vertex.name = self._redacted(" ".join(str(one.get("name", "")).split())) or vertex.name
        if one.get("started") and not vertex.told:
            vertex.told = True
            vertex.number = sum(each.told for each in self.vertices.values())
            yield f"#{vertex.number} {vertex.name}"
        if one.get("error"):
            vertex.error = self._redacted(str(one["error"]))
        if one.get("completed") and not vertex.is_over:
            vertex.is_over = True
            yield from self._printed(vertex, vertex.partial.ended())
            if vertex.error:
                yield f"#{vertex.number} ERROR: {' '.join(vertex.error.split())}"
            else:
                yield f"#{vertex.number} {'CACHED' if one.get('cached') else 'DONE'}"


_NUMBERED: Final = re.compile(r"#(?P<number>\d+) ?(?P<rest>.*)", re.DOTALL)
_OUTPUT: Final = re.compile(r"\d+\.\d+ (?P<text>.*)|\d+\.\d+", re.DOTALL)
_CLASSIC: Final = re.compile(
    r"(?:\[[^\]]*\] )?(?:Step|STEP) (?P<number>\d+/\d+) ?: (?P<instruction>.*)", re.DOTALL
)
_CLASSIC_ERROR: Final = re.compile(
    r"The command '.*' returned a non-zero code: \d+|Error: .*|ERROR: .*|error building at STEP.*"
    r"|[A-Z]+ failed: .*|Error response from daemon: .*|pull access denied.*|manifest .*not found.*",
    re.DOTALL,
)


class PlainBuild(_Steps):
    """A build's text: BuildKit's `--progress plain`, or the steps of the classic builder and of Podman."""

    def __init__(self, redacted: Redacted) -> None:
        super().__init__(redacted)
        self._is_buildkit = False
        self._step: _Vertex | None = None
        self._error = ""

    def line(self, text: str) -> Iterator[str]:
        """Take a line, and show it, save BuildKit's digests of its steps."""
        text = self._redacted(text)
        numbered = _NUMBERED.fullmatch(text)
        if numbered and (self._is_buildkit or numbered["number"] == "1") and self._step is None:
            self._is_buildkit = True
            if not self._buildkit(numbered["number"], numbered["rest"]):
                return
        elif not self._is_buildkit and (begun := _CLASSIC.fullmatch(text)):
            self._step = self.vertex(begun["number"])
            self._step.name = f"[{begun['number']}] {begun['instruction']}"
            self._step.told = True
        elif self._step is not None and not self._is_buildkit:
            if _CLASSIC_ERROR.fullmatch(text):
                self._error = text
            else:
                self._step.output.append(text)
            self.lines.append(text)
        else:
            self.beside(text)
        if text.strip():
            yield text

    def _buildkit(self, number: str, rest: str) -> bool:
        """Take a line of step *number*; say whether it is worth showing."""
        vertex = self.vertex(number)
        if not vertex.told:
            vertex.name, vertex.told = rest, True
            return True
        if rest.startswith("ERROR: "):
            vertex.error = rest.removeprefix("ERROR: ")
        elif found := _OUTPUT.fullmatch(rest):
            vertex.output.append(found["text"] or "")
        elif rest == "CANCELED" or rest.startswith(("DONE", "CACHED", "ERROR", "CANCELED")):
            vertex.is_over = True
        return not rest.startswith("sha256:")

    def ended(self, code: int) -> BuildLog:
        """Return what a build that ended with *code* told; of the classic builder, its last step failed."""
        if code and self._step is not None:
            self._step.error = self._error or f"exit code: {code}"
            name = self._step.name
            if re.search(r"\] FROM ", name):  # the classic builder pulls there, and nothing else runs
                self._step.output.clear()
        return self.log()
