"""The process as the image starts it: signals, exit codes, and a restart that nobody notices."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from generator_stand_in import stand_in
from health_proxy import health_proxy
from running import ServiceProcess, wait_until

QUESTION = {"query": "When does the circuit breaker roll back?", "k": 3}


@contextmanager
def process(**environment: str) -> Iterator[ServiceProcess]:
    started = ServiceProcess.start(**environment)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()


def test_sigterm_finishes_what_is_in_flight_and_ends_with_0(index_uri: str) -> None:
    with stand_in(delay=2) as generator:
        environment = {"INDEX_URI": index_uri, "DRAIN_SECONDS": "0.5", "OPENAI_BASE_URL": generator.url}
        with process(**environment) as task:
            url = task.wait_ready()
            answers: list[httpx.Response] = []

            def ask() -> None:
                answers.append(httpx.post(f"{url}/ask", json={"question": "circuit breaker"}, timeout=20))

            asking = threading.Thread(target=ask)
            asking.start()
            wait_until(lambda: generator.requests)
            task.terminate()
            wait_until(lambda: httpx.get(f"{url}/health").status_code == 503, seconds=0.4)
            assert httpx.post(f"{url}/search", json=QUESTION).status_code == 200, (
                "still served while draining"
            )
            asking.join()
            assert task.end() == 0
    assert (answers[0].status_code, answers[0].json()["mode"]) == (200, "generated")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


def test_a_request_that_outlasts_the_stop_timeout_is_cut_off_in_time(index_uri: str) -> None:
    with stand_in(delay=8) as generator:
        environment = {"DRAIN_SECONDS": "0", "STOP_TIMEOUT_SECONDS": "1", "OPENAI_BASE_URL": generator.url}
        with process(INDEX_URI=index_uri, **environment) as task:
            url = task.wait_ready()
            failures: list[httpx.HTTPError | httpx.Response] = []

            def ask() -> None:
                try:
                    failures.append(httpx.post(f"{url}/ask", json={"question": "x"}, timeout=20))
                except httpx.HTTPError as error:
                    failures.append(error)

            asking = threading.Thread(target=ask)
            asking.start()
            wait_until(lambda: generator.requests)
            began = time.monotonic()
            task.terminate()
            assert task.end() == 0
            assert time.monotonic() - began < 5
            asking.join()
    assert failures


def test_sigterm_while_loading_ends_with_0_without_waiting_for_the_load(index_uri: str) -> None:
    with process(INDEX_URI=index_uri, EMBEDDING_MODEL="minilm") as task:
        assert httpx.get(f"{task.url}/health").status_code == 503
        began = time.monotonic()
        task.terminate()
        assert task.end() == 0
        assert time.monotonic() - began < 5


def test_a_model_that_cannot_be_loaded_ends_the_process_with_1_and_says_why() -> None:
    with process(EMBEDDING_MODEL="/nonexistent/model") as task:
        assert task.end() == 1
        wait_until(lambda: not task.process.stderr or task.process.stderr.closed)
        assert "loading failed" in "".join(task.log)
        assert "/nonexistent/model" in "".join(task.log)


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "http"), ("MAX_BATCH", "0"), ("ALLOW_CPU", "perhaps"), ("DEVICE", "tpu")]
)
def test_a_setting_that_cannot_be_used_ends_with_2_and_its_name(name: str, value: str) -> None:
    with process(**{name: value}) as task:
        assert task.end() == 2
        wait_until(lambda: task.process.stderr is None or task.process.stderr.closed)
        assert [line for line in task.log if line.startswith(f"ERROR: {name}: ")]
        assert "Traceback" not in "".join(task.log)


def test_a_rolling_restart_under_load_fails_no_request(index_uri: str) -> None:
    environment = {"INDEX_URI": index_uri, "DRAIN_SECONDS": "1.5", "RERANKER_MODEL": "tiny"}
    with health_proxy(interval=0.2) as (address, proxy), process(**environment) as old:
        proxy.register(old_url := old.wait_ready())
        wait_until(lambda: proxy.healthy)
        stop = threading.Event()
        statuses: list[int] = []

        def load() -> None:
            with httpx.Client(timeout=20) as client:
                while not stop.is_set():
                    statuses.append(client.post(f"{address}/search", json=QUESTION).status_code)
                    time.sleep(0.02)  # a user's pause, which leaves the new task a core to load on

        clients = [threading.Thread(target=load) for _ in range(8)]
        for client in clients:
            client.start()
        try:
            with process(**environment) as new:
                proxy.register(new_url := new.wait_ready())
                wait_until(lambda: new_url in proxy.healthy)
                before = len(statuses)
                old.terminate()
                assert old.end() == 0
                assert proxy.healthy == [new_url]
                proxy.deregister(old_url)
                wait_until(lambda: len(statuses) > before + 50)
                stop.set()
                for client in clients:
                    client.join()
        finally:
            stop.set()
            for client in clients:
                client.join()
    assert len(statuses) > 100
    assert set(statuses) == {200}
