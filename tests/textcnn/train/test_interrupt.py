from __future__ import annotations

import signal

import pytest

from textcnn.train.interrupt import Interrupt


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def test_the_first_two_are_remembered_and_the_third_ends_at_once() -> None:
    with Interrupt() as interrupt:
        ctrl_c()
        ctrl_c()
        assert interrupt.asked
        with pytest.raises(KeyboardInterrupt):
            ctrl_c()
    with pytest.raises(KeyboardInterrupt):
        ctrl_c()


def test_one_that_a_training_heeded_is_remembered_around_it() -> None:
    with Interrupt(raising=True) as command:
        with pytest.raises(KeyboardInterrupt):  # before it trains, it ends
            ctrl_c()
        with Interrupt() as training:
            with Interrupt():
                ctrl_c()
            assert training.asked
        ctrl_c()  # while the model is saved
        assert command.asked
        with pytest.raises(KeyboardInterrupt):
            ctrl_c()
