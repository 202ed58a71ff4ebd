"""How long each phase of a rollout may take before it is called late."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_gpu_deploy.core.judge.phases import PhaseFacts, PhaseName, deadlines, rank
from ecs_gpu_deploy.core.judge.timing import ContainerCheck, HealthTiming, LoadBalancerCheck

BOTH = HealthTiming(
    grace=300,
    load_balancer=LoadBalancerCheck(interval=15, timeout=5, unhealthy_threshold=5),
    container=ContainerCheck(interval=15, timeout=10, retries=8, start_period=300),
)


def facts(**given: Any) -> PhaseFacts:
    return PhaseFacts(**{"placement_timeout": 900.0, "timing": HealthTiming(), **given})


@pytest.mark.parametrize(
    ("phase", "given", "seconds"),
    [
        pytest.param(
            PhaseName.PLACEMENT, {"placement_timeout": 450.0}, 450, id="placement: what was asked for"
        ),
        pytest.param(PhaseName.PULL, {}, 1800, id="pull: half an hour"),
        pytest.param(PhaseName.PULL, {"pull": 600.0}, 600, id="pull: by the size of the image"),
        pytest.param(PhaseName.START, {}, 420, id="start: the agent's own 4 and 3 minutes"),
        pytest.param(PhaseName.LOAD, {}, 600, id="load: ten minutes where nothing checks"),
        pytest.param(
            PhaseName.LOAD, {"timing": BOTH}, 395 + 60, id="load: the most patient check and a margin"
        ),
        pytest.param(
            PhaseName.LOAD,
            {"timing": HealthTiming(load_balancer=LoadBalancerCheck(interval=15, unhealthy_threshold=5))},
            75 + 60,
            id="load: the load balancer's check alone",
        ),
        pytest.param(
            PhaseName.TRAFFIC, {"healthy_seconds": 75.0}, 75 + 60, id="traffic: the healthy threshold"
        ),
        pytest.param(PhaseName.DRAIN, {}, 30 + 60, id="drain: stopTimeout alone"),
        pytest.param(
            PhaseName.DRAIN,
            {"deregistration_delay": 300.0, "stop_timeout": 120.0, "bake": 900.0},
            300 + 120 + 900 + 60,
            id="drain: deregistration, stopTimeout and what the deployment bakes",
        ),
    ],
)
def test_a_deadline_follows_from_the_services_settings(
    phase: PhaseName, given: dict[str, Any], seconds: float
) -> None:
    assert deadlines(facts(**given))[phase] == seconds


def test_a_deadline_that_somebody_set_is_that_of_its_phase_and_of_no_other() -> None:
    asked = deadlines(facts(given={"load": 1200.0, "drain": 5.0}))
    assert asked == {**deadlines(facts()), PhaseName.LOAD: 1200.0, PhaseName.DRAIN: 5.0}


def test_the_phases_stand_in_the_order_of_a_tasks_way() -> None:
    way = ["placement", "pull", "start", "load", "traffic", "drain"]
    assert [rank(PhaseName(name)) for name in way] == list(range(6))
    assert list(deadlines(facts())) == way
