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


def test_one_that_came_before_a_context_inside_began_counts_there_too() -> None:
    with Interrupt(raising=True) as command:
        with Interrupt():
            ctrl_c()
            with Interrupt() as loop:
                assert loop.asked
        with Interrupt() as another:
            assert command.asked and not another.asked


def test_what_a_training_made_can_be_saved_after_it() -> None:
    with Interrupt(raising=True) as command:
        with Interrupt():
            pass
        ctrl_c()
        assert command.asked
        with pytest.raises(KeyboardInterrupt), Interrupt(raising=True):
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
