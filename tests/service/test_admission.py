from __future__ import annotations

from collections import Counter

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


def test_as_much_time_as_may_wait_does():
    admission = Admission(max_wait=1.0, max_bytes=1000)
    with admission.let_in(1.0, 10), admission.let_in(0.5, 10):
        with pytest.raises(OverloadedError):
            admission.check(1)


@pytest.mark.parametrize(
    ("seconds", "size", "full"), [(1.0, 100, False), (1.5, 10, True), (0.5, 101, True), (1.5, 0, False)]
)
def test_it_is_full_when_more_waits_than_may_and_something_does(seconds, size, full):
    admission = Admission(max_wait=1.0, max_bytes=100)
    assert not admission.is_full
    with admission.let_in(seconds, size):
        assert admission.is_full is full
    assert not admission.is_full


def test_what_is_coming_counts_as_if_a_byte_of_it_took_as_long_as_others():
    admission = Admission(max_wait=1.0, max_bytes=100)
    admission.coming = 1000
    assert not admission.is_full, "an idle service takes anything"
    with admission.let_in(0.5, 10):
        assert admission.is_full
        for coming, full in ((10, False), (11, True)):
            admission.coming = coming
            assert admission.is_full is full
        admission.coming = 11
        admission.has_come()
        assert not admission.is_full
    with admission.let_in(0.0, 10):
        for coming, full in ((90, False), (91, True)):
            admission.coming = coming
            assert admission.is_full is full


def test_what_is_done_waits_no_longer_and_sums_of_parts_of_seconds_do_not_drift():
    admission = Admission(max_wait=1.0, max_bytes=100)
    with admission.let_in(0.25, 10):
        with admission.let_in(0.5, 10):
            assert admission.seconds == 0.75
        assert admission.seconds == 0.25
        for _ in range(10):
            with admission.let_in(0.1, 10):
                pass
        assert admission.seconds != 0.25, "a sum of tenths does, or this test shows nothing"
    assert admission.seconds == 0.0


def test_work_of_the_event_loop_is_counted_for_as_long_as_it_lasts():
    admission = Admission(max_wait=1.0, max_bytes=100)
    with admission.let_in(0.1, 1, on_loop=True), admission.let_in(0.1, 1), admission.let_in(0.1, 1, on_loop=True):
        assert admission.on_loop == 2
    assert admission.on_loop == 0


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
    reasons: Counter[str] = Counter()
    admission = Admission(max_wait=1.0, max_bytes=100, refused=lambda reason, count: reasons.update({reason: count}))
    waits = set()
    with admission.let_in(10.0, 10):
        for _ in range(100):
            with pytest.raises(OverloadedError) as caught:
                admission.check(1)
            waits.add(int(caught.value.headers["retry-after"]))
    assert waits == {11, 12}
    assert reasons == {"overloaded": 100}


def test_nobody_is_told_to_come_back_at_once(monkeypatch):
    monkeypatch.setattr("service.admission.random.uniform", lambda least, most: least)
    assert Admission(max_wait=1.0, max_bytes=100).retry_after() == 1


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


def test_a_slow_bucket_gives_one_at_once(clock):
    bucket = TokenBucket(0.1)
    assert bucket.take(1) == 0
    assert bucket.take(1) == pytest.approx(10)


def test_a_rate_is_shared_by_the_processes_and_may_be_changed_while_they_run(clock):
    limits = RateLimits(processes=4)
    assert limits.wait(key := Key("shop", b"", frozenset(), per_second=40), 20) == 0
    assert limits.wait(key, 1) == pytest.approx(0.1)
    assert limits.wait(Key("shop", b"", frozenset(), per_second=80), 40) == 0
    assert limits.wait(Key("free", b"", frozenset()), 1000) == 0
    assert limits.wait(None, 1000) == 0


def test_more_than_a_bucket_holds_is_given_when_it_is_full_and_owed(clock):
    bucket = TokenBucket(10)
    assert bucket.take(100) == 0
    assert bucket.take(1) == pytest.approx(8.1)


def test_each_key_has_its_own_rate(clock):
    reasons: list[tuple[str, int]] = []
    limits = RateLimits(lambda *why: reasons.append(why))
    slow = Key("slow", b"", frozenset(), per_second=1)
    limits.take(slow, 2)
    with pytest.raises(RateLimitedError) as caught:
        limits.take(slow, 1)
    assert caught.value.headers["retry-after"] == "1"
    assert reasons == [("rate_limited", 1)]
    limits.take(Key("other", b"", frozenset(), per_second=1), 2)
    for _ in range(100):
        limits.take(Key("free", b"", frozenset()), 1000)
        limits.take(None, 1000)
