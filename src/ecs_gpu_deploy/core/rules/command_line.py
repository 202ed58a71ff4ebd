"""What the command of a container says: which server it starts, and with which options.

The servers are those that people put on GPUs; their options and defaults are from their own documentation
(uvicorn "Settings", Gunicorn "Settings", vLLM "Engine arguments", Text Generation Inference "Launcher
arguments"). Of a command that a shell takes apart only its words are read, nothing is expanded.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_SHELLS: Final = frozenset({"sh", "bash", "/bin/sh", "/bin/bash", "/usr/bin/bash", "ash", "/bin/ash"})
_SERVERS: Final = {
    "uvicorn": "uvicorn",
    "gunicorn": "gunicorn",
    "fastapi": "uvicorn",
    "vllm": "vllm",
    "vllm.entrypoints.openai.api_server": "vllm",
    "vllm.entrypoints.api_server": "vllm",
    "text-generation-launcher": "tgi",
    "text-embeddings-router": "tei",
    "tritonserver": "triton",
    "sglang.launch_server": "sglang",
}
_IMAGES: Final = (
    (re.compile(r"(?:^|/)vllm/vllm-openai$"), "vllm"),
    (re.compile(r"(?:^|/)huggingface/text-generation-inference$"), "tgi"),
    (re.compile(r"(?:^|/)huggingface/text-embeddings-inference$"), "tei"),
    (re.compile(r"(?:^|/)nvidia/tritonserver$"), "triton"),
    (re.compile(r"(?:^|/)lmsysorg/sglang$"), "sglang"),
)
"""Images whose entry point is the server, so that a command holds options alone."""
_CONTROL: Final = re.compile(r"&&|\|\||[;|&\n]")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """The words of a container's command. `server` is "" for one that is not known.

    `is_direct`: the server is all that is started, so that what it listens on is what answers.
    """

    words: tuple[str, ...] = ()
    server: str = ""
    is_direct: bool = False

    def option(self, *names: str) -> str | None:
        """Return the value of the first of the options *names* that is there."""
        return option_value(self.words, names)

    def number(self, *names: str) -> int | None:
        """Return the whole number that an option is given, None for none and for a variable."""
        value = self.option(*names)
        return int(value) if value is not None and re.fullmatch(r"\d{1,6}", value) else None


def command_line(
    entry_point: Sequence[str],
    command: Sequence[str],
    *,
    image_name: str = "",
    environment: Mapping[str, str] | None = None,
) -> CommandLine:
    """Read an entry point and a command, as a container definition or an image has them.

    Gunicorn reads options of the *environment* too, before those of its command (Gunicorn, "Settings").
    """
    words = [str(word) for word in (*entry_point, *command)]
    is_simple = True
    if len(words) >= 3 and words[0] in _SHELLS and words[1] in {"-c", "-lc", "-ec"}:
        script = words[3] if words[2] == "--" and len(words) > 3 else words[2]
        is_simple = not _CONTROL.search(script)
        words = _split(script)
    server = _server_in(words)
    by_image = next((name for pattern, name in _IMAGES if pattern.search(image_name)), "")
    if not server and (not entry_point or by_image == "vllm"):
        server = by_image
    if server == "gunicorn":
        words = [*words[:1], *_split((environment or {}).get("GUNICORN_CMD_ARGS", "")), *words[1:]]
    return CommandLine(words=tuple(words), server=server, is_direct=bool(server) and is_simple)


def option_value(words: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the value of the last of the options *names* in *words*, "" for a flag, None for none.

    vLLM takes underscores for hyphens in a long option, and others know no such option.
    """
    found = None
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name.startswith("--") and name not in names:
            name = name.replace("_", "-")
        if name in names:
            follows = words[at + 1] if at + 1 < len(words) else ""
            found = value if equals else ("" if follows.startswith("--") else follows)
        elif (short := next((one for one in names if _is_glued(word, one)), "")) and not equals:
            found = word[len(short) :]
    return found


def _is_glued(word: str, name: str) -> bool:
    """Say whether *word* is a short option with its number, such as -w4."""
    return len(name) == 2 and word.startswith(name) and word[2:].isdigit()


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=False)
    except ValueError:
        return text.split()


def _server_in(words: Sequence[str]) -> str:
    """Return the server that *words* start: a program by its name, or a module after `python -m`."""
    for at, word in enumerate(words):
        before = words[at - 1] if at else ""
        name = word.rpartition("/")[2]
        if name == "fastapi":
            if list(words[at + 1 : at + 2]) == ["run"]:
                return _SERVERS[name]
            continue
        if name in _SERVERS and (before == "-m" or name in {"uvicorn", "gunicorn", "vllm"} or "-" in name):
            return _SERVERS[name]
        if name == "tritonserver" or (before == "-m" and word in _SERVERS):
            return _SERVERS[name if name in _SERVERS else word]
    return ""
