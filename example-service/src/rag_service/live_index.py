"""Serve the version of the index that is tagged live, and change to the next one without a restart."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag_service.store import (
    LIVE,
    PASSAGE_COLUMNS,
    Hit,
    is_missing_table,
    passage_of,
    storage_options,
    table_name,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger("rag_service.index")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidentVectors:
    """Hold every vector of one version as a matrix on the device, and the passages beside it as Arrow."""

    matrix: Any
    passages: Any

    def search(self, vectors: NDArray[np.float32], ks: Sequence[int]) -> list[list[Hit]]:
        """Find the nearest passages exactly, for a whole batch in one multiplication. Device thread only."""
        import torch

        with torch.inference_mode():
            questions = torch.from_numpy(vectors).to(self.matrix.device, self.matrix.dtype)
            scores, rows = torch.topk(questions @ self.matrix.T, min(max(ks), self.matrix.shape[0]))
            score_rows, row_rows = scores.float().cpu().tolist(), rows.cpu().tolist()
        # One read for the whole batch: a scalar of Arrow costs more than a multiplication.
        wanted = sorted({row for own, k in zip(row_rows, ks, strict=True) for row in own[:k]})
        read = self.passages.take(wanted).to_pylist()
        passages = {row: passage_of(values) for row, values in zip(wanted, read, strict=True)}
        return [
            [Hit(passage=passages[row], score=score) for row, score in zip(rows[:k], scores[:k], strict=True)]
            for rows, scores, k in zip(row_rows, score_rows, ks, strict=True)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexVersion:
    """Hold one version of the table, which no later ingest changes."""

    version: int
    passages: int
    table: Any
    resident: ResidentVectors | None

    async def search(self, vector: NDArray[np.float32], k: int) -> list[Hit]:
        """Ask LanceDB for the nearest passages: through its ANN index where the ingest made one."""
        query = self.table.query().nearest_to(vector).distance_type("cosine")
        rows = await query.select([*PASSAGE_COLUMNS, "_distance"]).limit(k).to_list()
        return [Hit(passage=passage_of(row), score=1.0 - row["_distance"]) for row in rows]


class LiveIndex:
    """Keep the current version at hand; `current` is None while nothing has been ingested."""

    def __init__(self, uri: str, *, model: str, dimension: int, resident_limit: int, device: str) -> None:
        self._uri = uri
        self._table_name = table_name(model, dimension)
        self._dimension = dimension
        self._resident_limit = resident_limit
        self._device = device
        self._connection: Any = None
        self._table: Any = None
        self.current: IndexVersion | None = None

    async def newest(self) -> IndexVersion | None:
        """Open the live version if it is not the current one; None when there is nothing new.

        The caller decides when to make it current. Errors of the storage pass through.
        """
        import lancedb

        if self._connection is None:
            self._connection = await lancedb.connect_async(
                self._uri, storage_options=storage_options(self._uri)
            )
        if self._table is None:
            try:
                self._table = await self._connection.open_table(self._table_name)
            except (ValueError, RuntimeError, OSError) as error:
                if is_missing_table(error):
                    return None
                raise
        tags = await self._table.tags.list()
        version = tags[LIVE]["version"] if LIVE in tags else None
        if version is None or (self.current is not None and version == self.current.version):
            return None
        table = await self._connection.open_table(self._table_name)
        await table.checkout(version)
        return IndexVersion(version=version, passages=await table.count_rows(), table=table, resident=None)

    async def read_vectors(self, opened: IndexVersion) -> Any:
        """Read all rows of a version as one Arrow table, None when it is too large to lie on the device."""
        if not 0 < opened.passages <= self._resident_limit:
            return None
        return await opened.table.query().select([*PASSAGE_COLUMNS, "vector"]).to_arrow()

    def place(self, rows: Any) -> ResidentVectors:
        """Put the vectors on the device, in fp16 on a GPU. Device thread only."""
        import torch

        flat = rows["vector"].combine_chunks().flatten().to_numpy().reshape(-1, self._dimension)
        matrix = torch.from_numpy(flat.copy()).to(
            self._device, torch.float16 if self._device == "cuda" else None
        )
        return ResidentVectors(matrix=matrix, passages=rows.select(PASSAGE_COLUMNS).combine_chunks())

    def close(self) -> None:
        """Let go of the connection and of the vectors."""
        self.current = None
        if self._connection is not None:
            self._connection.close()
