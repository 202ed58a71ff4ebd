"""Let one ingest at a time write to an index: a lease that lives beside it, on a folder and on S3 alike.

It is a LanceDB table of one row. Whoever wants to change the row says which beat he has seen, and LanceDB
commits one of several such changes: compare and swap, on every storage that LanceDB knows. No clocks are
compared: a lease is dead when its beat has stood still for as long as it is granted, by the watcher's clock.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any

from rag_service.store import is_conflict, is_missing_table, storage_options

log = logging.getLogger("rag_service.ingest")

POLL_SECONDS = 1.0
SETTLE_SECONDS = 0.5
_YOUNG = 20
"""Versions of the lease's table up to which another process may still be creating it: LanceDB lets the last
of two creations win, so a lease that was got this early is looked at once more."""


class LeaseTaken(Exception):
    """Say who writes to the index and has not ended in time."""


class LeaseLost(Exception):
    """Say that another ingest has taken over; nothing more may be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    holder: str
    beat: int


class Lease:
    """Hold the right to write to one table of an index, as a context; `seconds` without a beat end it."""

    def __init__(
        self,
        uri: str,
        table: str,
        *,
        seconds: float,
        wait: float,
        on_wait: Callable[[str], None] = lambda _holder: None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._uri = uri
        self._name = f"lease-{table}"
        self._seconds = seconds
        self._wait = wait
        self._on_wait = on_wait
        self._pause = pause
        self._me = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
        self._beat = 0
        self._held_until = 0.0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._renewing = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._table: Any = None

    def __enter__(self) -> Lease:
        """Wait for the lease. Raises LeaseTaken."""
        self._table = self._open()
        began = watched = time.monotonic()
        seen: _Row | None = None
        while True:
            row = self._read()
            now = time.monotonic()
            if row != seen:
                if row.holder and (seen is None or seen.holder != row.holder):
                    self._on_wait(_place(row.holder))
                seen, watched = row, now
            if (not row.holder or now - watched > self._seconds) and self._swap(row, self._me):
                self._renewing.start()
                return self
            if row.holder and now - began > self._wait:
                raise LeaseTaken(
                    f"Another ingest ({_place(row.holder)}) has been writing to {self._uri} for all of the "
                    f"{self._wait:g} s that this one waited (--wait)."
                )
            if row.holder:
                self._pause(min(POLL_SECONDS, self._seconds / 4))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lease back; one that was lost is another's by now."""
        self._stop.set()
        self._renewing.join()
        try:
            with self._lock:
                # While the lease is held: afterwards it would be in the way of the next holder's commits.
                self._table.optimize(cleanup_older_than=timedelta(hours=1))
                self._swap(_Row(holder=self._me, beat=self._beat), "")
        except Exception as failure:  # noqa: BLE001 - the work is done; who waits takes over after the beat
            log.warning("the lease on %s could not be given back: %s", self._uri, failure)

    def check(self) -> None:
        """Make sure, in the storage itself, that the lease is still held. Raises LeaseLost."""
        with self._lock:
            if time.monotonic() > self._held_until or self._read().holder != self._me:
                raise LeaseLost(
                    f"Another ingest has taken over {self._uri}; this one stopped and wrote nothing more."
                )

    def _renew(self) -> None:
        while not self._stop.wait(self._seconds / 4):
            try:
                with self._lock:
                    if not self._swap(_Row(holder=self._me, beat=self._beat), self._me):
                        return
            except Exception as error:  # noqa: BLE001 - tried again before the lease ends; check() judges
                log.warning("the lease on %s could not be renewed: %s", self._uri, error)

    def _open(self) -> Any:
        import lancedb
        import pyarrow as pa

        connection = lancedb.connect(self._uri, storage_options=storage_options(self._uri))
        try:
            return connection.open_table(self._name)
        except (ValueError, RuntimeError, OSError) as error:
            if not is_missing_table(error):
                raise
        free = pa.table({"holder": [""], "beat": pa.array([0], pa.int64())})
        try:
            connection.create_table(self._name, data=free)
        except (ValueError, RuntimeError, OSError) as error:
            if "already exists" not in str(error) and not is_conflict(error):
                raise
        return connection.open_table(self._name)

    def _read(self) -> _Row:
        self._table.checkout_latest()
        [row] = self._table.search().select(["holder", "beat"]).to_arrow().to_pylist()
        return _Row(**row)

    def _swap(self, seen: _Row, holder: str) -> bool:
        """Change the row if it still is as seen; tell whether it was us who did."""
        condition = f"beat = {seen.beat} AND holder = '{seen.holder}'"
        while True:
            asked = time.monotonic()
            try:
                done = self._table.update(where=condition, values={"holder": holder, "beat": seen.beat + 1})
            except (RuntimeError, OSError) as error:
                if not is_conflict(error):
                    raise
                if self._read() != seen:
                    return False
            else:
                break
        if done.rows_updated != 1:
            return False
        if self._table.version < _YOUNG and seen.holder != holder and holder:
            time.sleep(SETTLE_SECONDS)
            if self._read() != _Row(holder=holder, beat=seen.beat + 1):
                return False
        self._beat = seen.beat + 1
        self._held_until = asked + self._seconds
        return True


def _place(holder: str) -> str:
    """Name host and process of a holder."""
    host, process, _ = holder.rsplit(":", 2)
    return f"process {process} on {host}"
