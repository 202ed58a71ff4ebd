"""Describe the LanceDB table that the batch job writes and the service reads.

One table for each embedding model, so that vectors of two models never meet and a rollout to another model
can be rolled back. LanceDB makes a new version of the table with every commit; the tag `live` names the one
that is served. Moving that tag is one small write, on a folder and on S3 alike: readers see the old index or
the new one, never half of an ingest.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

LIVE = "live"
PASSAGE_COLUMNS = ("id", "document", "title", "section", "position", "text")

# LanceDB's Rust side reads it at import; its warnings are about its own API, not about our data.
os.environ.setdefault("LANCE_LOG", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Hold one piece of a document as it is stored, without its vector."""

    id: str
    document: str
    title: str
    section: str
    position: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """Pair a passage with its score: cosine similarity, or the reranker's own scale after reranking."""

    passage: Passage
    score: float


def embedded_text(section: str, text: str) -> str:
    """Join what the models read of a passage, at ingest and when reranking."""
    return f"{section}\n{text}" if section else text


def table_name(model: str, dimension: int) -> str:
    """Name the table that holds this model's vectors."""
    return f"passages-{model}-{dimension}"


def schema_of(dimension: int) -> pa.Schema:
    """Describe the columns; `document_hash` covers the document's bytes and how it was cut."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("document", pa.string(), nullable=False),
            pa.field("document_hash", pa.string(), nullable=False),
            pa.field("title", pa.string()),
            pa.field("section", pa.string()),
            pa.field("position", pa.int32()),
            pa.field("text", pa.string(), nullable=False),
            pa.field("text_hash", pa.string(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), dimension), nullable=False),
        ]
    )


def storage_options(uri: str) -> dict[str, str]:
    """Make LanceDB's object store follow the standard AWS environment, AWS_ENDPOINT_URL included.

    Credentials (task role, profile, environment) are found by the store itself.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not uri.startswith("s3://") or not endpoint:
        return {}
    return {
        "aws_endpoint": endpoint,
        "allow_http": str(endpoint.startswith("http://")).lower(),
        "aws_virtual_hosted_style_request": "false",
    }


def passage_of(row: dict[str, Any]) -> Passage:
    """Build a passage from a row; other columns of the row are ignored."""
    return Passage(**{column: row[column] for column in PASSAGE_COLUMNS})


def is_missing_table(error: BaseException) -> bool:
    """Tell LanceDB's "Table 'x' was not found" from an index that cannot be read."""
    return "was not found" in str(error) or "NotFound" in type(error).__name__


def storage_failure(error: BaseException) -> str:
    """Give what the index's storage refused, in one line; empty for an error of another kind."""
    said = (str(error).splitlines() or [""])[0]
    if "LanceError(IO)" not in said:
        return ""
    # Behind it stands the line of Rust that noticed it.
    return re.sub(r", \S+\.rs:[\d:]+$", "", said.partition("LanceError(IO): ")[2])[:400]


def is_conflict(error: BaseException) -> bool:
    """Tell that LanceDB refused a commit because another one came first: it can be tried again."""
    return any(
        word in str(error) for word in ("commit conflict", "ncompatible transaction", "Too many concurrent")
    )
