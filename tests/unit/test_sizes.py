"""A task's CPU and memory as text: one reading for inputs, comparison and placement."""

import pytest

from ecs_gpu_deploy.core.capacity.fit import requirement_of
from ecs_gpu_deploy.core.definition.diff import identical
from ecs_gpu_deploy.core.definition.sizes import cpu_units, memory_mib
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.inputs.checks import check_deploy, check_run_task
from ecs_gpu_deploy.inputs.settings import settings_from

CPU = [
    ("4096", 4096),
    (4096, 4096),
    ("4 vCPU", 4096),
    ("4vcpu", 4096),
    (" .5 VCPU ", 512),
    ("0.25 vCPU", 256),
    (".1 vCPU", 102),
    ("4 GB", None),
    ("4.0", None),
    ("1.2.3", None),
    ("1.2.3 vCPU", None),
    (". vCPU", None),
    ("-1", None),
    ("٣", None),
    ("vCPU", None),
    ("", None),
]
MEMORY = [
    ("16384", 16384),
    (16384, 16384),
    ("16 GB", 16384),
    ("16gb", 16384),
    (" .5 GB", 512),
    ("16 GiB", None),
    ("16 vCPU", None),
    ("16384 MiB", None),
    ("1.2.3", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "units"), CPU, ids=repr)
def test_a_cpu_size_is_read_in_units(text, units):
    assert cpu_units(text) == units


@pytest.mark.parametrize(("text", "mib"), MEMORY, ids=repr)
def test_a_memory_size_is_read_in_mib(text, mib):
    assert memory_mib(text) == mib


SIZES = [("cpu", text, size) for text, size in CPU] + [("memory", text, size) for text, size in MEMORY]
GIVEN = [row for row in SIZES if isinstance(row[1], str) and row[1]]


@pytest.mark.parametrize(("member", "text", "size"), GIVEN, ids=repr)
def test_placement_and_comparison_read_the_same(member, text, size):
    definition = {member: text, "containerDefinitions": []}
    assert identical(definition, {**definition, member: str(size)}) is (size is not None)
    if size is None:
        with pytest.raises(ValueError, match=f"The task's {member} .* is not a number"):
            requirement_of(definition)
    else:
        assert getattr(requirement_of(definition), member) == size


@pytest.mark.parametrize(("member", "text", "size"), GIVEN, ids=repr)
def test_the_inputs_read_the_same_and_refuse_the_rest(member, text, size):
    task = {"cluster": "c", "task-definition": "family", f"task-{member}": text}
    service = {"cluster": "c", "service": "s", f"task-{member}": text}
    if size is None:
        for command, check, inputs in (
            ("run-task", check_run_task, task),
            ("deploy", check_deploy, service),
        ):
            with pytest.raises(InvalidInput, match=f"task-{member} is "):
                check(settings_from(command, inputs=inputs))
    else:
        overrides = check_run_task(settings_from("run-task", inputs=task)).overrides
        assert getattr(overrides, member) == str(size)
        assert (
            getattr(check_deploy(settings_from("deploy", inputs=service)).revision.overrides, member)
            == text.strip()
        )
