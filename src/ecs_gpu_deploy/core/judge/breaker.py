"""The deployment circuit breaker's rule: how many failed tasks trip it.

Sources: AWS page "How the Amazon ECS deployment circuit breaker detects failures"; API Reference,
DeploymentCircuitBreaker and ThresholdConfiguration; docs/aws-facts.md#circuit-breaker.
"""

from __future__ import annotations

from typing import Final

from ecs_gpu_deploy.model import CircuitBreaker

LOWEST: Final = 3
HIGHEST: Final = 200
"""The bounds of BOUNDED_PERCENT, in failed tasks; the other two types have none."""


def threshold(breaker: CircuitBreaker, desired_count: int) -> int:
    """Return the number of failed tasks at which *breaker* trips, on or off, for the latest *desired_count*.

    COUNT is the number itself; a percentage is of the desired count, rounded up. A type that this version
    does not know is read as the default one. It is never below 1: nothing trips without a failure. Source:
    docs/aws-facts.md#circuit-breaker.
    """
    value = breaker.threshold_value
    share = value if breaker.threshold_type == "COUNT" else -(-desired_count * value // 100)
    if breaker.threshold_type in {"COUNT", "UNBOUNDED_PERCENT"}:
        return max(share, 1)
    return min(max(share, LOWEST), HIGHEST)


def trips(breaker: CircuitBreaker, failed_tasks: int, desired_count: int) -> bool:
    """Say whether *failed_tasks* trip the breaker: only one that is on does."""
    return breaker.enable and failed_tasks >= threshold(breaker, desired_count)


def failures_after_healthy(breaker: CircuitBreaker, failed_tasks: int) -> int:
    """Return the count after a task became healthy: 0, unless resetOnHealthyTask is off."""
    return 0 if breaker.reset_on_healthy_task else failed_tasks
