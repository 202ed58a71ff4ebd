"""Files that users name: reading with a clear word where it fails, writing whole or not at all."""

from __future__ import annotations

import os
import select
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from ecs_gpu_deploy.errors import InvalidInput

READ_LIMIT = 8 * 1024 * 1024
PIPE_SECONDS = 60.0
MOST_IN_A_NAME = 255 - 20
"""Bytes of a file's name, less what the name of the file beside it has more (`write_text`)."""


def is_file(path: str) -> bool:
    """Say whether *path* is a file; a name that no file can have (too long, with NUL) is none."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: str) -> bool:
    """Say whether *path* is a folder, as `is_file` does."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def read_text(path: str, *, what: str, patience: float = PIPE_SECONDS) -> str:
    """Return the text of the file *path*; InvalidInput says why it cannot be read.

    A pipe (/dev/stdin, `<(…)`) gives its content once only, so nobody reads a file twice; one into which
    nobody writes for *patience* seconds is given up.
    """
    try:
        text = _content(path, patience=patience).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise InvalidInput(
            f"There is no file {path!r} ({what}).",
            hint="The path counts from the working directory; is the repository checked out?",
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"The {what} {path!r} is not UTF-8 text.") from error
    except OSError as error:
        raise InvalidInput(f"The {what} {path[:200]!r} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InvalidInput(f"The {what} {path[:200]!r} cannot be read: {error}.") from error
    return text


def _content(path: str, *, patience: float) -> bytes:
    """Return the bytes of a file or pipe; ValueError for too many, or none in time."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(handle, "rb", buffering=0) as file:
        waits = not stat.S_ISREG(os.fstat(handle).st_mode)
        parts: list[bytes] = []
        while True:
            if waits and not select.select([handle], [], [], patience)[0]:
                raise ValueError(f"nothing came for {patience:g} s")
            if not (part := file.read(1024 * 1024)):
                return b"".join(parts)
            parts.append(part)
            if sum(map(len, parts)) > READ_LIMIT:
                raise ValueError(f"it is longer than {READ_LIMIT >> 20} MiB")


def is_no_regular_file(path: str) -> bool:
    """Say whether *path* is there and yet no file that others can open by its name: a pipe, a folder."""
    try:
        return Path(path).exists() and not Path(path).is_file()
    except (OSError, ValueError):
        return False


def check_file_name(path: str, *, what: str) -> None:
    """Raise InvalidInput where no file can have the name *path*."""
    if "\0" in path or len(os.fsencode(Path(path).absolute().name)) > MOST_IN_A_NAME:
        raise InvalidInput(f"The {what} {path[:200]!r} is a name that no file can have.")


def temporary_file(*, prefix: str, suffix: str) -> str:
    """Make an empty file that outlives the run, where the runner puts such (RUNNER_TEMP); return its path."""
    folder = os.environ.get("RUNNER_TEMP", "")
    handle, path = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=folder if is_folder(folder) else None)
    os.close(handle)
    return path


def append_whole(path: str, data: bytes) -> None:
    """Append *data* to the file *path*, all of it or nothing; OSError says why not.

    Half an output would break the runner's reading of the file. A pipe that nobody reads is an error.
    """
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o644)
    try:
        before = os.fstat(handle).st_size
        try:
            written = 0
            while written < len(data):
                written += os.write(handle, data[written:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(handle, before)
            raise
    finally:
        os.close(handle)


def write_text(path: str, text: str) -> None:
    """Write *text* to *path* so that a reader sees the old file or the new one, never a part.

    What is there and is no file (/dev/stdout, a pipe) is written to, not replaced.
    """
    if Path(path).exists() and not Path(path).is_file():
        append_whole(path, text.encode("utf-8"))
        return
    target = Path(os.path.realpath(path))
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
