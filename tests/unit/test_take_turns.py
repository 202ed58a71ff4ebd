"""Waits that take turns on one clock: who is woken when, and what a cancelled job does to them."""

import os
import signal

import pytest

from ecs_gpu_deploy.edges.machine.signals import Cancelled, heed_signals
from ecs_gpu_deploy.errors import InvalidInput
from ecs_gpu_deploy.steps.take_turns import take_turns, waited


class Clock:
    """A clock on which waiting costs nothing; at *strikes* something happens while somebody sleeps."""

    def __init__(self, strikes=None, strike=None):
        self.time, self.strikes, self.strike = 0.0, strikes, strike

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds
        if self.strikes is not None and self.time >= self.strikes:
            self.strikes = None
            self.strike()


@pytest.fixture(autouse=True)
def handlers():
    """Leave the signals as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    heed_signals()
    yield
    heed_signals()
    for number, handler in before.items():
        signal.signal(number, handler)


def _wait(name, log, clock, *pauses):
    try:
        for pause in (0.0, *pauses):
            yield pause
            log.append((name, clock.now()))
    except (Cancelled, InvalidInput) as error:
        log.append((name, type(error).__name__, clock.now()))
        yield 5.0
        log.append((name, clock.now()))
    return name


def test_each_is_woken_when_its_pause_is_over():
    log, clock = [], Clock()
    assert take_turns(clock, [_wait("a", log, clock, 10, 10), _wait("b", log, clock, 4, 4, 4)]) == ["a", "b"]
    assert log == [("a", 0), ("b", 0), ("b", 4), ("b", 8), ("a", 10), ("b", 12), ("a", 20)]
    assert clock.now() == 20, "as long as the slowest"


def test_one_alone_is_waited_for():
    log, clock = [], Clock()
    assert waited(clock, _wait("a", log, clock, 3)) == "a"
    assert log == [("a", 0), ("a", 3)]


def test_a_signal_cancels_all_of_them_once():
    log = []
    clock = Clock(6, lambda: os.kill(os.getpid(), signal.SIGINT))
    take_turns(clock, [_wait("a", log, clock, 10, 10), _wait("b", log, clock, 6, 6)])
    assert log[2:] == [("a", "Cancelled", 6), ("b", "Cancelled", 6), ("a", 11), ("b", 11)]


def test_a_clock_that_fails_is_told_to_all():
    def fail():
        raise InvalidInput("no clock")

    log, clock = [], Clock(6, fail)
    take_turns(clock, [_wait("a", log, clock, 10), _wait("b", log, clock, 6)])
    assert log[2:] == [("a", "InvalidInput", 6), ("b", "InvalidInput", 6), ("a", 11), ("b", 11)]


def test_an_error_of_one_comes_out():
    def broken():
        yield 1.0
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        waited(Clock(), broken())
