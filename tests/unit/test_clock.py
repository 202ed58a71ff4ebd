"""The clock's edge: the machine's own, or the one that a sandbox serves."""

import pytest

from ecs_gpu_deploy.edges.machine.clock import VARIABLE, SandboxClock, WallClock, clock_from_environment
from ecs_gpu_deploy.errors import InvalidInput
from sandbox_process import sandbox_thread


def test_without_the_variable_it_is_the_machine_s():
    clock = clock_from_environment({})
    assert isinstance(clock, WallClock)
    assert clock.now() <= clock.now()


def test_a_stepped_clock_moves_by_what_is_slept_on_it():
    with sandbox_thread() as sandbox:
        clock = clock_from_environment(sandbox.environment)
        assert isinstance(clock, SandboxClock)
        before = clock.now()
        clock.sleep(1200)
        assert clock.now() == before + 1200
        clock.close()


def test_a_scaled_clock_sleeps_the_scaled_time():
    with sandbox_thread(speed=1_000.0) as sandbox:
        clock = clock_from_environment(sandbox.environment)
        before = clock.now()
        clock.sleep(30)
        assert clock.now() >= before + 30
        clock.close()


@pytest.mark.parametrize("url", ["http://example.com/clock", "https://127.0.0.1/clock", "file:///etc/passwd"])
def test_only_an_address_on_loopback_is_taken(url):
    with pytest.raises(InvalidInput, match="loopback"):
        clock_from_environment({VARIABLE: url})


def test_a_sandbox_that_is_gone_is_said_in_one_sentence():
    with pytest.raises(InvalidInput, match="does not answer"):
        clock_from_environment({VARIABLE: "http://127.0.0.1:1/_sandbox/clock"})
