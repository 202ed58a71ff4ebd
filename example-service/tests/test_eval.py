"""The golden questions: what the real model finds and refuses, and the command that asks them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import tiny_settings
from generator_stand_in import stand_in
from rag_service.access import hash_of
from rag_service.eval import Golden, Outcome, main, rank_of, scores_of
from rag_service.retrieval import floor_of
from running import DOCUMENTS, ROOT, Running, ingest_folder, process_environment, running

GOLDEN = str(ROOT / "golden.json")


@pytest.mark.timeout(300)
def test_minilm_keeps_the_limits_and_does_not_ask_the_generator_what_it_cannot_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ingest_folder(DOCUMENTS, str(tmp_path), model="minilm")
    with stand_in() as generator:
        asked = tiny_settings(
            tmp_path, embedding_model="minilm", reranker_model="", openai_base_url=generator.url
        )
        with running(asked) as service:
            assert main([GOLDEN, "--url", service.url]) == 0
            said = capsys.readouterr().out
            body = {"question": "How do I bake sourdough bread?"}
            whole = service.client.post("/ask", json=body).json()
            streamed = service.client.post("/ask", json={**body, "stream": True}).text
    print(said)
    questions = [json.loads(request["messages"][1]["content"])["question"] for request in generator.requests]
    assert said.count("ok  ") == 4
    assert body["question"] not in questions
    assert (whole["refused"], whole["mode"], whole["sources"]) == (True, "refused", [])
    assert whole["answer"] == "I don't know: no passage of the documents fits this question."
    assert "below 0.3 (RELEVANCE_FLOOR)" in whole["notice"]
    [event, data] = streamed.strip().split("\n")
    assert event == "event: done"
    assert json.loads(data.removeprefix("data: ")) == whole


def test_the_golden_questions_are_enough_and_their_answers_are_in_the_documents() -> None:
    rows = json.loads(Path(GOLDEN).read_text())
    assert len(rows) >= 60
    assert len({row["question"] for row in rows}) == len(rows)
    assert sum("says" not in row for row in rows) >= 12
    assert {row["document"] for row in rows if "says" in row} == {
        path.relative_to(DOCUMENTS).as_posix() for path in DOCUMENTS.rglob("*.*")
    }, "no document without a question"


@pytest.mark.timeout(300)
def test_the_command_ingests_and_serves_for_itself() -> None:
    """With the tiny model, which hashes words: its scores are its own."""
    none = [*("--recall", "0"), *("--mrr", "0"), *("--refused", "0"), *("--wrongly-refused", "1")]
    command = [sys.executable, "-m", "rag_service.eval", *none]
    done = subprocess.run(command, env=process_environment(), cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("ok  ") == 4


@pytest.fixture(scope="module")
def keyed(index_uri: str) -> Running:
    hashes = json.dumps({"smoke": hash_of("a-key")})
    with running(tiny_settings(index_uri, auth="keys", api_key_hashes=hashes)) as service:
        yield service


def test_one_question_is_a_smoke_test(
    keyed: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("RAG_KEY", "a-key")
    assert main([GOLDEN, "--url", keyed.url, "--only", "1"]) == 0
    wrong = tmp_path / "wrong.json"
    wrong.write_text(
        json.dumps([{"question": "x", "document": "circuit-breaker.md", "says": "no such words"}])
    )
    assert main([str(wrong), "--url", f"{keyed.url}/", "--only", "1"]) == 1
    assert "not found: x" in capsys.readouterr().out
    monkeypatch.setenv("RAG_KEY", "another")
    assert main([GOLDEN, "--url", keyed.url, "--only", "1"]) == 2
    assert capsys.readouterr().err == "ERROR: /search was answered with 401: give the key in RAG_KEY.\n"


BAD = {
    "no file": (["/nonexistent.json"], "is no list of golden questions"),
    "no list": (["{file}"], "is no list of golden questions"),
    "a number that is none": ([GOLDEN, "--only", "0"], "--only: there are 74 questions."),
    "no URL": ([GOLDEN, "--url", "file:///etc/passwd"], "--url: begins with"),
    "nobody there": ([GOLDEN, "--url", "http://127.0.0.1:9"], "/search was not answered: URLError."),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_measured_is_said(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text('[{"question": "a", "answer": "b"}]')
    assert main([argument.format(file=tmp_path / "file") for argument in arguments]) == 2
    assert words in capsys.readouterr().err


def test_scores() -> None:
    known, unknown = Golden(question="a", document="d", says="s"), Golden(question="b")
    scores = scores_of(
        [
            Outcome(golden=known, rank=1, refused=False),
            Outcome(golden=known, rank=4, refused=False),
            Outcome(golden=known, rank=0, refused=True),
            Outcome(golden=known, rank=0, refused=False),
            Outcome(golden=unknown, rank=0, refused=True),
            Outcome(golden=unknown, rank=0, refused=False),
        ]
    )
    assert (scores.recall, scores.mrr, scores.refused, scores.wrongly_refused) == (0.5, 1.25 / 4, 0.5, 0.25)
    passages = [
        {"document": "d", "text": "x"},
        {"document": "e", "text": "s"},
        {"document": "d", "text": "t\n s"},
    ]
    assert rank_of(Golden(question="", document="d", says="t s"), passages) == 3
    assert rank_of(Golden(question="", document="d", says="y"), passages) == 0


def test_the_floor_is_the_operators_else_the_measured_one_else_none() -> None:
    assert floor_of("all-minilm-l6-v2", None) == 0.3
    assert floor_of("all-minilm-l6-v2", 0.0) == 0
    assert floor_of("e5-small", None) == -1
