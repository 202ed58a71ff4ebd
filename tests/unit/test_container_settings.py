"""What Docker is asked to create for a container definition."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_gpu_deploy.sandbox.runtime.container_settings import (
    Surrounding,
    create_arguments,
    overridden,
    port_variables,
)

HOST = Surrounding(shares_network=True, ports={8000: 8003})
BRIDGE = Surrounding(shares_network=False, ports={8000: 0})
CHECK = {"command": ["CMD-SHELL", "curl http://localhost:8000/health && curl 127.0.0.1:80001"]}


def asked(surrounding: Surrounding = HOST, **definition: Any) -> dict[str, Any]:
    return create_arguments({"name": "rag", **definition}, environment={}, surrounding=surrounding)


@pytest.mark.parametrize(
    ("definition", "wanted"),
    [
        pytest.param({"memory": 512}, {"mem_limit": "512m"}, id="the hard limit"),
        pytest.param({"memoryReservation": 256}, {"mem_reservation": "256m"}, id="the soft one"),
        pytest.param({"cpu": 2048}, {"cpu_shares": 2048}, id="CPU units are shares"),
        pytest.param({}, {"cpu_shares": 2}, id="no less than Docker's fewest"),
        pytest.param({"command": ["a", "b"]}, {"command": ["a", "b"]}, id="command"),
        pytest.param({"entryPoint": ["sh", "-c"]}, {"entrypoint": ["sh", "-c"]}, id="entryPoint"),
        pytest.param(
            {"linuxParameters": {"sharedMemorySize": 1024, "initProcessEnabled": True}},
            {"shm_size": "1024m", "init": True},
            id="shared memory and init",
        ),
        pytest.param(
            {
                "linuxParameters": {
                    "tmpfs": [{"containerPath": "/tmp", "size": 5, "mountOptions": ["mode=1777"]}]
                }
            },
            {"tmpfs": {"/tmp": "size=5m,mode=1777"}},
            id="tmpfs",
        ),
        pytest.param(
            {"ulimits": [{"name": "memlock", "softLimit": -1, "hardLimit": -1}]},
            {"ulimits": [{"Name": "memlock", "Soft": -1, "Hard": -1}]},
            id="ulimits",
        ),
        pytest.param({}, {"healthcheck": {"test": ["NONE"]}}, id="the image's own check is not run"),
    ],
)
def test_a_member_is_dockers_own_setting(definition: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert asked(**definition).items() >= wanted.items()


def test_a_task_limit_holds_for_a_container_without_one() -> None:
    given = create_arguments({"name": "rag"}, environment={}, surrounding=HOST, task_memory=2048)
    assert given["mem_limit"] == "2048m"


def test_devices_are_asked_for_by_their_ids_and_only_where_there_are_some() -> None:
    [request] = asked(Surrounding(shares_network=True, gpus=("GPU-1", "GPU-2")))["device_requests"]
    assert request["DeviceIDs"] == ["GPU-1", "GPU-2"]
    assert request["Capabilities"] == [["gpu"]]
    assert "device_requests" not in asked()


def test_on_the_bridge_ports_are_published_on_loopback() -> None:
    given = asked(BRIDGE, portMappings=[{"containerPort": 8000, "hostPort": 0}], healthCheck=CHECK)
    assert given["ports"] == {"8000/tcp": ("127.0.0.1", None)}
    assert given["extra_hosts"] == {"host.docker.internal": "host-gateway"}
    assert "network_mode" not in given
    assert given["healthcheck"]["test"] == CHECK["command"]


def test_on_the_machines_network_a_container_is_told_its_port_and_so_is_its_check() -> None:
    given = asked(HOST, portMappings=[{"containerPort": 8000}], healthCheck=CHECK)
    assert given["network_mode"] == "host"
    assert "ports" not in given
    assert given["healthcheck"] == {
        "test": ["CMD-SHELL", "curl http://localhost:8003/health && curl 127.0.0.1:80001"],
        "interval": 30_000_000_000,
        "timeout": 5_000_000_000,
        "retries": 3,
        "start_period": 0,
    }
    mappings = {"portMappings": [{"containerPort": 8000}, {"containerPort": 9000}]}
    told = port_variables(mappings, {8000: 8003, 9000: 9000})
    assert told == {"PORT": "8003", "PORT_8000": "8003", "PORT_9000": "9000"}
    assert port_variables({}, {}) == {}


def test_volumes_are_mounted_where_the_mount_points_say() -> None:
    points = [
        {"sourceVolume": "documents", "containerPath": "/documents", "readOnly": True},
        {"sourceVolume": "unknown", "containerPath": "/nowhere"},
    ]
    given = asked(Surrounding(shares_network=True, volumes={"documents": "/srv"}), mountPoints=points)
    assert given["volumes"] == ["/srv:/documents:ro"]


def test_overrides_of_run_task_win_and_are_one_containers_alone() -> None:
    definition = {"name": "rag", "command": ["serve"], "environment": [{"name": "A", "value": "1"}]}
    override = {
        "name": "rag",
        "command": ["ingest"],
        "environment": [{"name": "A", "value": "2"}],
        "memory": 9,
    }
    changed = overridden(definition, {"containerOverrides": [{"name": "other", "cpu": 1}, override]})
    assert changed["command"] == ["ingest"]
    assert changed["memory"] == 9
    assert [each["value"] for each in changed["environment"]] == ["1", "2"]
    assert "cpu" not in changed
    assert overridden(definition, {}) == definition
