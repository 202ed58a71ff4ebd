"""Time an error of the sandbox by us and by moto's serializer: `python tests/bench/bench_errors.py`.

Prints what importing moto's costs, the microseconds of one error by each, and what moto makes of a 503.
"""

from __future__ import annotations

import time
import warnings

from ecs_gpu_deploy.sandbox.protocol.api_errors import ApiError
from ecs_gpu_deploy.sandbox.protocol.calls import Request
from ecs_gpu_deploy.sandbox.protocol.error_bodies import error_body

ROUNDS = 1000
MODEL = {
    "metadata": {"protocol": "query", "serviceId": "sts", "apiVersion": "1", "endpointPrefix": "sts"},
    "operations": {"Call": {"name": "Call", "http": {"method": "POST", "requestUri": "/"}}},
    "shapes": {},
}


def main() -> None:
    error = ApiError("Unavailable", "Try <again>.", status=503)
    request = Request(
        service="sts", operation="Call", protocol="query", region="", access_key_id="", parameters={}
    )
    began = time.perf_counter()
    for _ in range(ROUNDS):
        error_body(request, error, "id")
    ours = time.perf_counter() - began

    began = time.perf_counter()
    from moto.core.model import ServiceModel
    from moto.core.serialize import QuerySerializer, SerializationContext

    loading = time.perf_counter() - began
    operation = ServiceModel(MODEL, service_name="sts").operation_model("Call")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        answer = QuerySerializer(operation, SerializationContext(request_id="id")).serialize(error)
        began = time.perf_counter()
        for _ in range(ROUNDS):
            QuerySerializer(operation, SerializationContext(request_id="id")).serialize(error)
        theirs = time.perf_counter() - began
    print(f"importing moto's serializers: {loading * 1000:.0f} ms")
    print(f"one error: ours {ours / ROUNDS * 1e6:.0f} µs, moto's {theirs / ROUNDS * 1e6:.0f} µs")
    print(f"moto makes of a 503: {answer['status_code']}, with {len(warned) // (ROUNDS + 1)} warning each")


if __name__ == "__main__":
    main()
