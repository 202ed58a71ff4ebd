"""Which Docker is looked for, and what is said where there is none."""

from __future__ import annotations

import json

import pytest

from ecs_gpu_deploy.sandbox.runtime.connect_docker import Docker, NoDocker, connect_docker
from ecs_gpu_deploy.sandbox.runtime.machine import Machine


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """Give a home folder of its own, without any Docker in the environment."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".docker").mkdir()
    return tmp_path


def complaint() -> str:
    with pytest.raises(NoDocker) as told:
        connect_docker()
    return str(told.value)


def test_a_context_that_is_gone_is_no_docker(home, monkeypatch):
    (home / ".docker" / "config.json").write_text(json.dumps({"currentContext": "gone"}))
    assert complaint() == "Docker's current context does not exist"
    monkeypatch.setenv("DOCKER_CONTEXT", "lost")
    assert complaint() == "Docker's context lost does not exist"


def test_address_and_the_innermost_words_are_said(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert "no Docker answers at tcp://127.0.0.1:1 (" in complaint()
    assert "Connection refused" in complaint()


@pytest.mark.parametrize("address", ["tcp://10.0.0.5:2375", "ssh://me@far.example", "docker:2375"])
def test_a_daemon_on_another_machine_is_none_whose_containers_can_be_reached(monkeypatch, address):
    monkeypatch.setenv("DOCKER_HOST", address)
    assert complaint() == (
        f"Docker at {address} is on another machine, where its containers cannot be reached"
    )


def test_each_task_that_meets_a_broken_bridge_may_start_again_without_it():
    machine = Machine(Docker(client=None, bridge="172.17.0.1", gpus=()))
    error = "failed to create endpoint app on network bridge: operation not supported"
    assert [machine.gives_up_bridge(error), machine.gives_up_bridge(error)] == [True, True]
    assert not machine.gives_up_bridge("no such image")
    assert machine.shares_network({})
