"""How fast the sandbox answers: DescribeServices with 200 services whose event lists are full.

Run: python tests/bench/bench_sandbox.py
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from ecs_gpu_deploy.ecs_model.state import Event
from ecs_gpu_deploy.sandbox.http.server import SandboxServer
from ecs_gpu_deploy.sandbox.world.world import World

SERVICES = 200
CALLS = 200
LIMIT_MS = 5.0
SIGNED = "AWS4-HMAC-SHA256 Credential=AKIABENCH/20261123/eu-central-1/ecs/aws4_request"


def crowded_world() -> World:
    """Return a world of 200 steady services with one task each, on 50 instances."""
    return World.from_document(
        {
            "clusters": ["bench"],
            "instances": [{"type": "g5.12xlarge", "count": 50}],
            "log_groups": ["/bench"],
            "task_definitions": [
                {
                    "family": "rag",
                    "containerDefinitions": [
                        {
                            "name": "rag",
                            "image": "registry.example/rag:1",
                            "memory": 1024,
                            "resourceRequirements": [{"type": "GPU", "value": "1"}],
                        }
                    ],
                }
            ],
            "services": [
                {"serviceName": f"rag-{number:03}", "taskDefinition": "rag", "desiredCount": 1}
                for number in range(SERVICES)
            ],
        },
        name="bench",
    )


def fill_events(server: SandboxServer, *, stamp: str) -> None:
    """Give each service a hundred events."""
    cluster = server.sandbox.home.clusters["bench"]
    for service in cluster.scheduler.services.values():
        service.events.clear()
        for number in range(100):
            service.events.append(
                Event(
                    id=f"{stamp}-{number:04}-0000-0000-000000000000",
                    created_at=service.created_at - number * 30.0,
                    message=f"(service {service.name}) has started 1 tasks: (task {'0123456789abcdef' * 2}).",
                )
            )


def requester(server: SandboxServer) -> Callable[[str, dict[str, Any]], bytes]:
    """Return a function that sends an ECS request over one kept connection."""
    connection = http.client.HTTPConnection("127.0.0.1", int(server.endpoint.rpartition(":")[2]))

    def send(operation: str, parameters: dict[str, Any]) -> bytes:
        connection.request(
            "POST",
            "/",
            json.dumps(parameters),
            {
                "Content-Type": "application/x-amz-json-1.1",
                "X-Amz-Target": f"AmazonEC2ContainerServiceV20141113.{operation}",
                "Authorization": SIGNED,
            },
        )
        response = connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise SystemExit(content.decode())
        return content

    return send


def milliseconds(call: Callable[[int], object]) -> list[float]:
    """Measure each of a number of calls."""
    measured = []
    for number in range(CALLS):
        begin = time.perf_counter()
        call(number)
        measured.append((time.perf_counter() - begin) * 1000)
    return measured


def seconds_to_first_answer() -> float:
    """Measure a fresh process from its start to the line that says it answers."""
    command = (
        "import sys; from ecs_gpu_deploy.sandbox.http.serve import main; "
        "sys.exit(main(['--speed', 'stepped']))"
    )
    begin = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        elapsed = time.perf_counter() - begin
        process.terminate()
    return elapsed


def main() -> int:
    """Print the figures; 1 where the median is over the limit."""
    with SandboxServer(crowded_world(), speed=None) as server:
        send = requester(server)
        fill_events(server, stamp="00000000")

        def describe(number: int) -> bytes:
            first = number * 10 % SERVICES
            names = [f"rag-{first + offset:03}" for offset in range(10)]
            return send("DescribeServices", {"cluster": "bench", "services": names})

        size = len(describe(0))
        warm = milliseconds(describe)

        cold = []
        for number in range(20):
            fill_events(server, stamp=f"{number + 1:08}")
            begin = time.perf_counter()
            describe(number)
            cold.append((time.perf_counter() - begin) * 1000)
        median = statistics.median(warm)
        print(f"DescribeServices, 10 of {SERVICES} services, 100 events each ({size / 1000:.0f} kB):")
        print(
            f"  median {median:.2f} ms, p95 {statistics.quantiles(warm, n=20)[18]:.2f} ms over {CALLS} calls"
        )
        print(f"  median {statistics.median(cold):.2f} ms where all events are new")
        one = statistics.median(
            milliseconds(lambda _: send("DescribeServices", {"cluster": "bench", "services": ["rag-007"]}))
        )
        print(f"  median {one:.2f} ms for one service")
    print(f"start of `sandbox serve` to its first answer: {seconds_to_first_answer():.2f} s")
    return 0 if median < LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
