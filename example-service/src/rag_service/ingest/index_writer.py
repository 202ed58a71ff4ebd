"""Write passages to the table: each commit is whole documents, and the tag `live` moves at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rag_service.ingest.chunking import Chunk
from rag_service.store import LIVE, is_conflict, is_missing_table, schema_of, storage_options, table_name

ANN_FROM = 100_000
"""Passages from which an approximate index pays; below, LanceDB's scan is exact and fast enough."""
COMMIT_TRIES = 6
REPAIR_DOCUMENTS = 256
T = TypeVar("T")
KEEP_OLD_VERSIONS = timedelta(hours=1)
"""A service that has not noticed the new version yet still reads the old one."""


UNKNOWN = "unknown"
"""The hash of a document whose rows are not what one run wrote: it is cut again."""
_KEY = b"lance-schema:unenforced-primary-key:position"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedDocument:
    """Hold a document that is ready to be written; `vectors` has a row for each chunk."""

    name: str
    document_hash: str
    title: str
    chunks: tuple[Chunk, ...]
    vectors: NDArray[np.float32]


class IndexWriter:
    """Change the table of one embedding model; `guard` is asked before every commit and may raise.

    The ids are the table's key, so that LanceDB itself refuses a second row of the same id: where the guard
    (the lease) is not enough, because a writer stood still between the question and the commit.
    """

    def __init__(
        self,
        uri: str,
        *,
        model: str,
        dimension: int,
        ann_from: int = ANN_FROM,
        guard: Callable[[], None] = lambda: None,
    ) -> None:
        import lancedb

        self._schema = schema_of(dimension)
        self._dimension = dimension
        self._ann_from = ann_from
        self._guard = guard
        connection = lancedb.connect(uri, storage_options=storage_options(uri))
        name = table_name(model, dimension)
        try:
            self._table = connection.open_table(name)
        except (ValueError, RuntimeError, OSError) as error:
            if not is_missing_table(error):
                raise
            self._table = connection.create_table(name, schema=self._schema)
        if not (self._table.schema.field("id").metadata or {}).get(_KEY):
            self._commit(lambda: self._table.set_unenforced_primary_key("id"))

    def known_documents(self) -> dict[str, str]:
        """Map each document in the newest version, live or not, to its hash: what a killed run has done.

        One with rows of two hashes was written by two runs at once; it gets a hash that no document has.
        """
        rows = self._table.search().select(["document", "document_hash"]).limit(None).to_arrow()
        known: dict[str, str] = {}
        for document, found in zip(
            rows["document"].to_pylist(), rows["document_hash"].to_pylist(), strict=True
        ):
            known[document] = found if known.get(document, found) == found else UNKNOWN
        return known

    def repair(self) -> int:
        """Take out rows whose id is there twice, left by runs that wrote at once; return how many.

        One row of each id stays, so that a document that cannot be read now keeps its passages; its hash is
        forgotten, so that it is cut again, with the vectors that are there.
        """
        import pyarrow as pa

        rows = self._table.search().select(["id", "document"]).limit(None).to_arrow()
        ids, names = rows["id"].to_pylist(), rows["document"].to_pylist()
        times = Counter(ids)
        hurt = sorted({name for key, name in zip(ids, names, strict=True) if times[key] > 1})
        for start in range(0, len(hurt), REPAIR_DOCUMENTS):
            condition = f"document IN ({', '.join(map(_quoted, hurt[start : start + REPAIR_DOCUMENTS]))})"
            # The hash first: killed between the commits, the rows that are left are no whole document.
            self._commit(lambda: self._table.update(where=condition, values={"document_hash": UNKNOWN}))  # noqa: B023
            found = self._table.search().where(condition).limit(None).to_arrow().select(self._schema.names)
            kept = {row["id"]: row for row in found.to_pylist()}
            self._commit(lambda: self._table.delete(condition))  # noqa: B023
            once = pa.Table.from_pylist(list(kept.values()), schema=self._schema)
            self._commit(lambda: self._table.add(once))  # noqa: B023
        return len(ids) - len(times)

    def vectors_of(self, text_hashes: Iterable[str]) -> dict[str, NDArray[np.float32]]:
        """Look up vectors of texts that were embedded before, in this document or another."""
        return stored_vectors(self._table, text_hashes)

    def replace(self, documents: Sequence[EmbeddedDocument]) -> None:
        """Put documents in the place of what the table held of them, in one commit."""
        names = ", ".join(_quoted(document.name) for document in documents)
        rows = self._rows(documents)
        self._commit(
            lambda: (
                self._table.merge_insert("id")
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .when_not_matched_by_source_delete(f"document IN ({names})")
                .execute(rows)
            )
        )

    def delete(self, names: Sequence[str]) -> None:
        """Remove documents."""
        if names:
            condition = f"document IN ({', '.join(map(_quoted, names))})"
            self._commit(lambda: self._table.delete(condition))

    def publish(self) -> int:
        """Tidy the table up and move the tag `live` to its newest version; return that version."""
        rows = self._table.count_rows()
        if rows >= self._ann_from:
            self._index_vectors(rows)
        if self._published() != self._table.version:
            self._commit(lambda: self._table.optimize(cleanup_older_than=KEEP_OLD_VERSIONS))
        version = int(self._table.version)
        self._guard()
        if self._published() is None:
            self._table.tags.create(LIVE, version)
        elif self._published() != version:
            self._table.tags.update(LIVE, version)
        return version

    def count(self) -> int:
        """Count the passages."""
        return int(self._table.count_rows())

    def _commit(self, write: Callable[[], T]) -> T:
        """Write when the guard lets us, again where another commit came first."""
        for attempt in range(1, COMMIT_TRIES + 1):
            self._guard()
            try:
                return write()
            except (RuntimeError, OSError) as error:
                if attempt == COMMIT_TRIES or not is_conflict(error):
                    raise
            time.sleep(0.05 * 2**attempt)
            self._table.checkout_latest()
        raise AssertionError

    def _published(self) -> int | None:
        tags = self._table.tags.list()
        return int(tags[LIVE]["version"]) if LIVE in tags else None

    def _index_vectors(self, rows: int) -> None:
        if self._table.list_indices():
            return  # optimize() adds new rows to an index that exists
        from lancedb.index import HnswSq

        self._table.create_index(
            "vector", config=HnswSq(distance_type="cosine", num_partitions=max(1, rows // 1_000_000))
        )

    def _rows(self, documents: Sequence[EmbeddedDocument]) -> Any:
        import pyarrow as pa

        rows = [(document, chunk) for document in documents for chunk in document.chunks]
        flat = np.concatenate([document.vectors.reshape(-1) for document in documents]).astype("float32")
        return pa.table(
            {
                "id": [f"{document.name}#{chunk.position}" for document, chunk in rows],
                "document": [document.name for document, _ in rows],
                "document_hash": [document.document_hash for document, _ in rows],
                "title": [document.title for document, _ in rows],
                "section": [chunk.section for _, chunk in rows],
                "position": pa.array([chunk.position for _, chunk in rows], pa.int32()),
                "text": [chunk.text for _, chunk in rows],
                "text_hash": [chunk.text_hash for _, chunk in rows],
                "vector": pa.FixedSizeListArray.from_arrays(pa.array(flat), self._dimension),
            },
            schema=self._schema,
        )


def stored_vectors(table: Any, text_hashes: Iterable[str]) -> dict[str, NDArray[np.float32]]:
    """Look up vectors in an open table."""
    wanted = sorted(set(text_hashes))
    if not wanted or table.count_rows() == 0:
        return {}
    condition = f"text_hash IN ({', '.join(map(_quoted, wanted))})"
    rows = table.search().where(condition).select(["text_hash", "vector"]).limit(None).to_arrow()
    dimension = table.schema.field("vector").type.list_size
    vectors = np.asarray(rows["vector"].combine_chunks().flatten()).reshape(-1, dimension)
    return dict(zip(rows["text_hash"].to_pylist(), vectors, strict=True))


def _quoted(text: str) -> str:
    """Write a SQL string literal of LanceDB's filter language (DataFusion): only the quote is special."""
    return "'" + text.replace("'", "''") + "'"
