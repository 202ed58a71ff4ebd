"""List and read documents in a folder or under s3://bucket/prefix, through one interface."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

SUFFIXES = (".md", ".markdown", ".txt", ".html", ".htm", ".pdf", ".docx")


class SourceUnusable(Exception):
    """Say why a source cannot be read at all; the index is left as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRef:
    """Name a document by its path below the source; `size` in bytes, `changed` in nanoseconds."""

    name: str
    path: str
    size: int
    changed: int


class DocumentSource:
    """Read from a folder or from S3 (credentials and endpoint from the standard AWS environment)."""

    def __init__(self, location: str) -> None:
        self.location = location
        self._files, self._root = _file_system(location)
        self._real_root = os.path.realpath(self._root)

    def list(self) -> list[DocumentRef]:
        """List the documents by name; files of other kinds and hidden ones are left out."""
        found = self._listed_in_folder() if self._files is None else self._listed_on_s3(self._files)
        return sorted(found, key=lambda document: document.name)

    def read(self, document: DocumentRef) -> bytes:
        """Read a whole document. Raises OSError."""
        if self._files is None:
            if not self._is_inside(document.path):
                raise FileNotFoundError("it is a link out of the source by now")
            with open(document.path, "rb") as file:
                return file.read()
        with self._files.open_input_stream(document.path) as stream:
            content: Any = stream.read()
        return bytes(content)

    def _listed_in_folder(self) -> Iterator[DocumentRef]:
        """Walk the folder. No link to a folder is followed, and none to a file outside the source."""

        def refuse(error: OSError) -> None:
            raise SourceUnusable(f"{self.location} cannot be listed: {_first_line(error)}") from error

        for folder, inner, files in os.walk(self._root, onerror=refuse):
            inner[:] = [name for name in inner if not name.startswith(".")]
            for file in files:
                path = os.path.join(folder, file)
                if not _is_document(file) or not os.path.isfile(path) or not self._is_inside(path):
                    continue
                name = os.path.relpath(path, self._root).replace(os.sep, "/")
                info = os.stat(path)
                # A name that is no UTF-8 is shown by its bytes: it has to fit a column of text.
                shown = os.fsencode(name).decode("utf-8", "backslashreplace")
                yield DocumentRef(name=shown, path=path, size=info.st_size, changed=info.st_mtime_ns)

    def _is_inside(self, path: str) -> bool:
        return os.path.realpath(path).startswith(os.path.join(self._real_root, ""))

    def _listed_on_s3(self, files: FileSystem) -> Iterator[DocumentRef]:
        from pyarrow.fs import FileSelector, FileType

        try:
            infos = files.get_file_info(FileSelector(self._root, recursive=True))
        except FileNotFoundError:
            if self._is_file_on_s3(files):
                raise SourceUnusable(f"{self.location} is a file: name the folder that it lies in.") from None
            return
        except OSError as error:
            raise SourceUnusable(f"{self.location} cannot be listed: {_first_line(error)}") from error
        for info in infos:
            name = info.path.removeprefix(self._root).lstrip("/")
            hidden = any(part.startswith(".") for part in name.split("/"))
            if info.type is FileType.File and _is_document(name) and not hidden:
                changed = info.mtime_ns or 0
                yield DocumentRef(name=name, path=info.path, size=info.size or 0, changed=changed)

    def _is_file_on_s3(self, files: FileSystem) -> bool:
        """Ask for an object of the source's own name, only where nothing lies below it: a role that may read
        what lies there need not be allowed to."""
        from pyarrow.fs import FileType

        try:
            return bool(files.get_file_info(self._root).type is FileType.File)
        except OSError:
            return False


def _is_document(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _file_system(location: str) -> tuple[FileSystem | None, str]:
    """Open S3; None for a folder, which needs no file system but ours."""

    if not location.startswith("s3://"):
        root = os.path.abspath(location)
        if not os.path.isdir(root):
            raise SourceUnusable(f"{location} is no folder.")
        return None, root
    from pyarrow.fs import S3FileSystem

    parts = urlsplit(location)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    options: dict[str, Any] = {"region": os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")}
    if endpoint:
        options |= {"endpoint_override": endpoint.split("://", 1)[-1], "scheme": endpoint.split("://", 1)[0]}
    return S3FileSystem(**options), f"{parts.netloc}/{parts.path.strip('/')}".rstrip("/")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
