from __future__ import annotations

import pytest

from service.admission import Admission, RateLimits, TokenBucket
from service.errors import OverloadedError, RateLimitedError
from service.keys import Key


def test_work_is_refused_once_too_much_time_of_it_waits():
    admission = Admission(max_wait=1.0, max_bytes=1000)
    with admission.let_in(1.5, 10):
        with pytest.raises(OverloadedError), admission.let_in(0.1, 10):
            pass
        assert admission.bytes == 10
    with admission.let_in(0.1, 10):
        pass
    assert (admission.seconds, admission.bytes) == (0.0, 0)


def test_work_is_refused_once_it_would_take_too_much_memory():
    admission = Admission(max_wait=1.0, max_bytes=100)
    with admission.let_in(0.1, 60):
        admission.check(40)
        with pytest.raises(OverloadedError):
            admission.check(41)


def test_an_idle_service_takes_a_request_of_any_size():
    admission = Admission(max_wait=1.0, max_bytes=100)
    with admission.let_in(9.0, 900):
        pass


def test_those_who_are_refused_are_told_different_times_of_the_length_of_the_queue():
    admission = Admission(max_wait=1.0, max_bytes=100)
    waits = set()
    with admission.let_in(10.0, 10):
        for _ in range(100):
            with pytest.raises(OverloadedError) as caught:
                admission.check(1)
            waits.add(int(caught.value.headers["retry-after"]))
    assert waits == {11, 12}


def test_work_that_failed_gives_its_place_back():
    admission = Admission(max_wait=1.0, max_bytes=100)
    with pytest.raises(ValueError), admission.let_in(5.0, 50):
        raise ValueError
    assert admission.bytes == 0


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("service.admission.monotonic", lambda: now[0])
    return now


def test_a_bucket_gives_its_rate_and_two_seconds_at_once(clock):
    bucket = TokenBucket(10)
    assert bucket.take(20) == 0
    assert bucket.take(1) == pytest.approx(0.1)
    clock[0] += 1
    assert bucket.take(10) == 0
    assert bucket.take(10) > 0


def test_more_than_a_bucket_holds_is_given_when_it_is_full_and_owed(clock):
    bucket = TokenBucket(10)
    assert bucket.take(100) == 0
    assert bucket.take(1) == pytest.approx(8.1)


def test_each_key_has_its_own_rate(clock):
    limits = RateLimits()
    slow = Key("slow", b"", frozenset(), per_second=1)
    limits.take(slow, 2)
    with pytest.raises(RateLimitedError) as caught:
        limits.take(slow, 1)
    assert caught.value.headers["retry-after"] == "1"
    limits.take(Key("other", b"", frozenset(), per_second=1), 2)
    for _ in range(100):
        limits.take(Key("free", b"", frozenset()), 1000)
        limits.take(None, 1000)
