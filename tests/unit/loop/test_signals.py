"""Signals as events. They are raised in this process, so that nothing has to be waited for."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from forkd.loop.signals import Signals
from tests.unit.stepped import SteppedLoop

USED = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)


@pytest.fixture(autouse=True)
def _dispositions() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in USED}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    signal.set_wakeup_fd(-1)


def test_signals_come_in_the_order_of_their_arrival(loop: SteppedLoop) -> None:
    got: list[signal.Signals] = []
    signals = Signals(loop, got.append)
    signals.listen(USED)
    for number in (signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH):
        signal.raise_signal(number)
    assert got == [], "a handler does nothing but record and wake"
    loop.settle()
    assert got == [signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH]
    signals.close()


def test_thousands_of_signals_between_two_turns_are_all_delivered(loop: SteppedLoop) -> None:
    got: list[signal.Signals] = []
    signals = Signals(loop, got.append)
    signals.listen([signal.SIGUSR1])
    for _ in range(5000):
        signal.raise_signal(signal.SIGUSR1)
    loop.settle()
    assert len(got) == 5000
    signals.close()


@pytest.mark.usefixtures("no_descriptor_leaks")
def test_closing_lets_go_of_the_wakeup_descriptor(loop: SteppedLoop) -> None:
    signals = Signals(loop, lambda _number: None)
    signals.close()
    assert signal.set_wakeup_fd(-1) == -1
    assert loop.watched == set()
