"""The health checks of a load balancer: one target, asked again and again as its target group says.

Source: Elastic Load Balancing User Guide, "Health checks for Application Load Balancer target groups";
docs/aws-facts.md#target-health-check.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp

from ecs_gpu_deploy.ecs_model.statuses import TargetState
from ecs_gpu_deploy.sandbox.neighbours.load_balancers import HTTP, CheckedGroup

Why = tuple[str, str]
FAILED: Why = ("Target.FailedHealthChecks", "Health checks failed")
TIMED_OUT: Why = ("Target.Timeout", "Request timed out")


Verdict = Callable[[TargetState, Why], None]


async def check(
    session: aiohttp.ClientSession,
    group_now: Callable[[], CheckedGroup],
    port: int,
    settle: Verdict,
    *,
    speed: float,
) -> None:
    """Check a target until cancelled, and settle each change of its state.

    Each check goes by its target group as it is then: ModifyTargetGroup changes the checks of targets too.
    The first success makes a new target healthy. Between checks the model's time passes, `speed` times as
    fast; an answer may take the wall's seconds, since what answers is real.
    """
    state, row = TargetState.INITIAL, 0
    while True:
        began = asyncio.get_running_loop().time()
        group = group_now()
        why = await _complaint(session, group, port)
        good = why is None
        row = max(row, 0) + 1 if good else min(row, 0) - 1
        enough = 1 if state is TargetState.INITIAL else group.healthy_threshold
        if good and state is not TargetState.HEALTHY and row >= enough:
            state = TargetState.HEALTHY
            settle(state, ("", ""))
        elif why is not None and state is not TargetState.UNHEALTHY and -row >= group.unhealthy_threshold:
            state = TargetState.UNHEALTHY
            settle(state, why)
        spent = asyncio.get_running_loop().time() - began
        await asyncio.sleep(max(0.05, group.interval / speed - spent))


async def _complaint(session: aiohttp.ClientSession, group: CheckedGroup, port: int) -> Why | None:
    """Ask once; None is a healthy answer."""
    try:
        async with asyncio.timeout(group.timeout):
            if group.protocol not in HTTP:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return None
            url = f"{group.protocol.lower()}://127.0.0.1:{port}{group.path}"
            headers = {"User-Agent": "ELB-HealthChecker/2.0", "Connection": "close"}
            async with session.get(url, headers=headers, allow_redirects=False, ssl=False) as answer:
                if group.accepts(answer.status):
                    return None
                codes = f"Health checks failed with these codes: [{answer.status}]"
                return "Target.ResponseCodeMismatch", codes
    except TimeoutError:
        return TIMED_OUT
    except (aiohttp.ClientError, OSError, ValueError):
        return FAILED
