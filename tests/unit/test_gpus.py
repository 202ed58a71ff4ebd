"""A GPU request: one reading of it for inputs, task definitions, the ECS model and the sandbox."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_gpu_deploy.core.capacity.fit import requirement_of
from ecs_gpu_deploy.core.capacity.gpus import GpuKind, GpuRequest, gpu_request_of, gpu_requests_of
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.options import BY_NAME
from ecs_gpu_deploy.inputs.readers import READERS

NONE = GpuRequest()
ALL = GpuRequest(kind=GpuKind.ALL)


def count(number: int) -> GpuRequest:
    return GpuRequest(count=number)


def fraction(share: float) -> GpuRequest:
    return GpuRequest(kind=GpuKind.FRACTION, fraction=share)


def mps(memory: int, percent: int | None = None) -> GpuRequest:
    return GpuRequest(kind=GpuKind.MPS, memory_mib=memory, compute_percent=percent)


READINGS = [
    pytest.param("1", count(1), "1", id="one"),
    pytest.param(" 8 ", count(8), "8", id="eight, with blanks around"),
    pytest.param("08", count(8), "8", id="a leading zero"),
    pytest.param("1.0", count(1), "1", id="a whole number with decimals"),
    pytest.param("16.000", count(16), "16", id="more of them"),
    pytest.param("0.25", fraction(0.25), "0.25", id="a quarter"),
    pytest.param("0.250", fraction(0.25), "0.25", id="a quarter with one more zero"),
    pytest.param(".5", fraction(0.5), "0.5", id="a half without the zero"),
    pytest.param("0.125", fraction(0.125), "0.125", id="an eighth, g6f.large's part"),
    pytest.param("0.000001", fraction(0.000001), "0.000001", id="next to nothing"),
    pytest.param("ALL", ALL, "ALL", id="all"),
    pytest.param("all", ALL, "ALL", id="all, in small letters"),
    pytest.param("0", NONE, "", id="none"),
    pytest.param("0.0", NONE, "", id="none, with decimals"),
    pytest.param(".0", NONE, "", id="none, without its zero"),
]


@pytest.mark.parametrize(("text", "expected", "value"), READINGS)
def test_a_text_is_read_alike_as_an_input_and_in_a_task_definition(
    text: str, expected: GpuRequest, value: str
) -> None:
    entry = {"type": "GPU", "value": text}
    assert GpuRequest.from_value(text) == gpu_request_of(entry) == expected
    assert expected.value == value
    assert READERS["gpu"](BY_NAME["gpu"], (text,)) == expected
    asked = requirement_of({"containerDefinitions": [{"name": "rag", "resourceRequirements": [entry]}]})
    assert asked.gpus == ((("rag", expected),) if value else ())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.5",
        "2.25",
        "1.",
        ".",
        "-1",
        "-0.5",
        "+1",
        "1e0",
        "nan",
        "inf",
        "two",
        "1,5",
        "1.5.2",
        "¼",
        "٣",
        "99999",
    ],
)
def test_what_no_reading_accepts(text: str) -> None:
    with pytest.raises(ValueError, match="The GPU value"):
        GpuRequest.from_value(text)
    with pytest.raises(ValueError, match="The GPU value"):
        gpu_request_of({"type": "GPU", "value": text})
    with pytest.raises(InvalidInput, match=r"^gpu is "):
        READERS["gpu"](BY_NAME["gpu"], (text,))


@pytest.mark.parametrize(
    ("value", "expected"), [(1, count(1)), (0, NONE), (2.0, count(2)), (0.25, fraction(0.25))]
)
def test_a_number_of_yaml_is_read_as_its_text(value: float, expected: GpuRequest) -> None:
    assert GpuRequest.from_value(value) == expected


@pytest.mark.parametrize("value", [True, None, ["1"], 1.5, float("nan")])
def test_other_types_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="The GPU value"):
        GpuRequest.from_value(value)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({"memory": 4096}, mps(4096), id="bare"),
        pytest.param({"memory": 1, "maxComputePercent": 100}, mps(1, 100), id="the bounds"),
        pytest.param({"nvidiaMps": {"memory": 5}}, mps(5), id="as in SharingStrategy"),
        pytest.param({"sharingStrategy": {"nvidiaMps": {"memory": 5}}}, mps(5), id="spelt out"),
    ],
)
def test_a_share_by_mps(given: dict[str, Any], expected: GpuRequest) -> None:
    assert GpuRequest.from_value(given) == expected
    entry = expected.requirement
    assert entry is not None
    assert gpu_request_of(entry) == expected
    assert expected.value == ""


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"memory": 0}, id="no memory"),
        pytest.param({"memory": True}, id="a boolean"),
        pytest.param({"memory": "4096"}, id="a text"),
        pytest.param({"maxComputePercent": 10}, id="a share without memory"),
        pytest.param({"memory": 1, "maxComputePercent": 0}, id="no compute"),
        pytest.param({"memory": 1, "maxComputePercent": 101}, id="more than everything"),
        pytest.param({"memory": 1, "percent": 10}, id="an unknown setting"),
        pytest.param({"amdMps": {"memory": 1}}, id="another way to share"),
        pytest.param({"nvidiaMps": "half"}, id="no mapping"),
    ],
)
def test_a_share_that_makes_no_sense(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="GPU"):
        GpuRequest.from_value(given)
    with pytest.raises(InvalidInput, match=r"^gpu-sharing cannot be used: "):
        READERS["gpu_sharing"](BY_NAME["gpu-sharing"], (repr(given),))


def test_a_value_beside_a_sharing_strategy_is_refused_as_ecs_does() -> None:
    both = {"type": "GPU", "value": "1", "sharingStrategy": {"nvidiaMps": {"memory": 5}}}
    with pytest.raises(ValueError, match="one of them"):
        gpu_request_of(both)


@pytest.mark.parametrize("asked", [count(2), fraction(0.125), ALL, mps(4096, 50)])
def test_what_is_asked_for_is_written_as_it_is_read(asked: GpuRequest) -> None:
    entry = asked.requirement
    assert entry is not None
    assert entry["type"] == "GPU"
    assert gpu_request_of(entry) == asked


def test_only_the_gpus_of_a_container_count_and_zero_is_none() -> None:
    container = {
        "resourceRequirements": [
            {"type": "InferenceAccelerator", "value": "device_1"},
            {"type": "GPU", "value": "0"},
            {"type": "GPU", "value": "2"},
        ]
    }
    assert list(gpu_requests_of(container)) == [count(2)]
    assert list(gpu_requests_of({})) == []
    assert NONE.requirement is None
