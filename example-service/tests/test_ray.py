"""The ingest on a Ray cluster of this machine: the same index, on loopback only, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import lancedb
import numpy as np
import pytest

from rag_service.ingest.__main__ import main
from rag_service.store import table_name
from running import ingest_folder, process_environment, wait_until

DOCUMENTS = 300


@pytest.fixture
def short_folder() -> Iterator[str]:
    """The names of Ray's sockets begin with this folder's, and may have 107 bytes."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="r") as folder:
        yield folder


def processes_with(mark: str) -> set[int]:
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.add(int(folder.name))
        except OSError:
            continue
    return found


def listening(processes: set[int]) -> set[str]:
    """Read the addresses that the processes accept connections on, as /proc writes them."""
    inodes = set()
    for process in processes:
        for link in Path(f"/proc/{process}/fd").glob("*"):
            try:
                inodes |= set(re.findall(r"socket:\[(\d+)\]", os.readlink(link)))
            except OSError:
                continue
    tables = "".join(Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6"))
    lines = [line.split() for line in tables.splitlines()]
    return {line[1].split(":")[0] for line in lines if line[3] == "0A" and line[9] in inodes}


def rows_of(index: Path | str) -> dict[str, dict[str, object]]:
    rows = lancedb.connect(str(index)).open_table(table_name("tiny", 128)).to_arrow().to_pylist()
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row for row in rows}


@pytest.mark.timeout(400)
def test_two_workers_make_the_index_that_one_process_makes(tmp_path: Path, short_folder: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(DOCUMENTS):
        text = f"Task {number} waits for driver {number % 7}. " * (3 + number % 40)
        (source / f"{number}.md").write_text(f"# Document {number}\n\n{text}\n\n## More\n\n{text[:200]}")
    (source / "broken.pdf").write_bytes(b"no PDF")
    (source / "empty.txt").write_text("")
    ingest_folder(source, str(tmp_path / "one"))

    mark = f"TMPDIR={short_folder}"
    command = [sys.executable, "-m", "rag_service.ingest", str(source), "--engine", "ray", "--workers", "2"]
    environment = process_environment(INDEX_URI=str(tmp_path / "two"), TMPDIR=short_folder)
    seen: set[str] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.5):
            seen.update(listening(processes_with(mark)))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=380)
    finally:
        ended.set()
        watcher.join()
    summary = json.loads(done.stdout)
    assert done.returncode == 1, done.stderr
    assert (summary["written"], summary["empty"], set(summary["failed"])) == (DOCUMENTS, 1, {"broken.pdf"})
    assert "ERROR: broken.pdf" in done.stderr

    one, two = rows_of(tmp_path / "one"), rows_of(tmp_path / "two")
    assert one.keys() == two.keys()
    for key, row in one.items():
        assert np.array_equal(row.pop("vector"), two[key].pop("vector"))  # type: ignore[arg-type]
        assert row == two[key]
    again = ingest_folder(source, str(tmp_path / "two"))
    assert (again.unchanged, again.passages_embedded) == (DOCUMENTS, 0)

    assert seen
    assert seen <= {"0100007F", "0000000000000000FFFF00000100007F"}, "listens beyond loopback"
    wait_until(lambda: not processes_with(mark), seconds=60, every=0.2)
    assert not list(Path(short_folder).iterdir()), "files of the cluster are left"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:99999", "nonsense"])
def test_a_cluster_that_is_not_there_is_said_at_once(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.txt").write_text("About whales.")
    for name, value in process_environment(RAY_ADDRESS=address, TMPDIR=str(tmp_path)).items():
        monkeypatch.setenv(name, value)
    assert main([str(tmp_path), "--engine", "ray"]) == 2
    assert f"ERROR: RAY_ADDRESS: no Ray cluster answers at {address}: " in capsys.readouterr().err


def test_what_does_not_fit_together_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, said in (
        (("--workers", "2"), "--workers is a number of processes"),
        (("--engine", "ray", "--workers", "0"), "--workers is a number of processes"),
        (("--engine", "ray", "--queue", "http://127.0.0.1:1/q"), "--engine ray is for single runs"),
    ):
        with pytest.raises(SystemExit) as refusal:
            main([str(tmp_path), *wrong])
        assert refusal.value.code == 2
        assert said in capsys.readouterr().err
