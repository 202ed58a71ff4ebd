"""List and read documents in a folder or under s3://bucket/prefix, through one interface."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

SUFFIXES = (".md", ".markdown", ".txt", ".html", ".htm", ".pdf")


class SourceUnusable(Exception):
    """Say why a source cannot be read at all; the index is left as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRef:
    """Name a document by its path below the source; `size` in bytes."""

    name: str
    path: str
    size: int


class DocumentSource:
    """Read from a folder or from S3 (credentials and endpoint from the standard AWS environment)."""

    def __init__(self, location: str) -> None:
        self.location = location
        self._files, self._root = _file_system(location)

    def list(self) -> list[DocumentRef]:
        """List the documents by name; files of other kinds and hidden ones are left out."""
        from pyarrow.fs import FileSelector, FileType

        try:
            if self._files.get_file_info(self._root).type is FileType.File:
                raise SourceUnusable(f"{self.location} is a file: name the folder that it lies in.")
            infos = self._files.get_file_info(FileSelector(self._root, recursive=True))
        except OSError as error:
            raise SourceUnusable(f"{self.location} cannot be listed: {_first_line(error)}") from error
        found = []
        for info in infos:
            name = info.path.removeprefix(self._root).lstrip("/")
            hidden = any(part.startswith(".") for part in name.split("/"))
            if info.type is FileType.File and name.lower().endswith(SUFFIXES) and not hidden:
                found.append(DocumentRef(name=name, path=info.path, size=info.size or 0))
        return sorted(found, key=lambda document: document.name)

    def read(self, document: DocumentRef) -> bytes:
        """Read a whole document. Raises OSError."""
        with self._files.open_input_stream(document.path) as stream:
            content: Any = stream.read()
        return bytes(content)


def _file_system(location: str) -> tuple[FileSystem, str]:
    from pyarrow.fs import LocalFileSystem, S3FileSystem

    if not location.startswith("s3://"):
        root = os.path.abspath(location)
        if not os.path.isdir(root):
            raise SourceUnusable(f"{location} is no folder.")
        return LocalFileSystem(), root
    parts = urlsplit(location)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    options: dict[str, Any] = {"region": os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")}
    if endpoint:
        options |= {"endpoint_override": endpoint.split("://", 1)[-1], "scheme": endpoint.split("://", 1)[0]}
    return S3FileSystem(**options), f"{parts.netloc}/{parts.path.strip('/')}".rstrip("/")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
