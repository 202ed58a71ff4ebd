"""What the sandbox's scheduler says is known to the table of causes, message by message."""

from types import SimpleNamespace
from typing import cast

import pytest

from ecs_gpu_deploy.core.capacity.fit import Shortfall
from ecs_gpu_deploy.core.diagnose.diagnosis import explanation_of
from ecs_gpu_deploy.ecs_model import events
from ecs_gpu_deploy.ecs_model.state import Service

SERVICE = cast("Service", SimpleNamespace(name="api"))


@pytest.mark.parametrize(
    ("lacking", "code"),
    [
        (Shortfall.INACTIVE, "no-instances"),
        (Shortfall.AGENT, "agent-disconnected"),
        (Shortfall.ATTRIBUTE, "missing-attribute"),
        (Shortfall.MEMBER_OF, "missing-attribute"),
        (Shortfall.DISTINCT, "missing-attribute"),
        (Shortfall.GPU, "gpu-capacity"),
        (Shortfall.MEMORY, "memory-capacity"),
        (Shortfall.CPU, "cpu-capacity"),
        (Shortfall.PORTS, "port-conflict"),
    ],
)
def test_a_lack_of_room_is_named(lacking: Shortfall, code: str) -> None:
    (found,) = explanation_of(events.no_room(SERVICE, "0123456789abcdef", lacking))
    assert found.code == code


def test_a_lack_of_network_interfaces_has_its_own_hint() -> None:
    (found,) = explanation_of(events.no_room(SERVICE, "0123456789abcdef", Shortfall.ENI))
    assert "awsvpcTrunking" in found.hint


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (events.no_instances(SERVICE, "cluster"), "no-instances"),
        (events.no_instances(SERVICE, "capacity provider"), "no-instances"),
        (events.provisioning_limit(SERVICE), "provisioning-limit"),
        (events.deadlock(SERVICE), "deployment-deadlock"),
        (events.under_protection(SERVICE, "ecs-svc/1", 3), "task-protected"),
    ],
)
def test_a_stuck_service_is_named(message: str, code: str) -> None:
    assert explanation_of(message)[0].code == code
