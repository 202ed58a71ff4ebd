"""What the containers of a machine share: ports, devices, network; and whose a container is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from ecs_gpu_deploy.sandbox.runtime.connect_docker import Docker
from ecs_gpu_deploy.sandbox.runtime.leftovers import is_alive, owner_of_this_process
from ecs_gpu_deploy.sandbox.runtime.machine import Machine

BROKEN = "failed to create endpoint t1 on network bridge: adding interface veth1 to bridge docker0 failed"


def machine(*gpus: str, bridge: str = "") -> Machine:
    return Machine(Docker(client=None, bridge=bridge, gpus=gpus))


def test_a_port_is_given_once_and_never_one_that_somebody_listens_on() -> None:
    ours = machine()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        first, second = ours.port(port), ours.port(port)
        assert port < first < second
        ours.free([first])
        assert ours.port(port) == first
    assert ours.port(0) == 0, "Docker chooses"


def test_each_gpu_of_the_model_is_one_of_the_machine_in_turn() -> None:
    ours = machine("GPU-a", "GPU-b")
    assert ours.devices(["model-1", "model-2"]) == ("GPU-a", "GPU-b")
    assert ours.devices(["model-3"]) == ("GPU-a",)
    assert ours.devices(["model-2"]) == ("GPU-b",)
    assert ours.devices(["model-1", "model-3"]) == ("GPU-a",), "never the same twice"
    assert ours.devices([]) == ()
    assert machine().devices(["model-1"]) == ()


@pytest.mark.parametrize(
    ("bridge", "mode", "shares"),
    [
        pytest.param("172.17.0.1", "bridge", False, id="a bridge"),
        pytest.param("172.17.0.1", "awsvpc", False, id="awsvpc is a bridge here"),
        pytest.param("172.17.0.1", "host", True, id="the task says host"),
        pytest.param("", "bridge", True, id="there is no bridge"),
    ],
)
def test_which_network_a_task_has(bridge: str, mode: str, shares: bool) -> None:
    assert machine(bridge=bridge).shares_network({"networkMode": mode}) is shares


def test_a_bridge_that_does_not_work_is_given_up_once_for_all() -> None:
    ours = machine(bridge="172.17.0.1")
    assert not ours.gives_up_bridge("exec: not found")
    assert ours.gives_up_bridge(BROKEN)
    assert ours.shares_network({})
    assert ours.gives_up_bridge(BROKEN), "a task that was made for the bridge before is begun again, too"


def test_an_owner_is_alive_while_its_very_process_is() -> None:
    own = owner_of_this_process()
    host, pid, start = own.split("/")
    assert is_alive(own)
    assert not is_alive(f"{host}/{pid}/{start}0"), "another process has its number now"
    assert is_alive(f"elsewhere/{pid}/0"), "who knows"
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        gone = ended.pid
    assert gone != os.getpid()
    assert not is_alive(f"{host}/{gone}/1")
