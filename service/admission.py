"""What is let in, what is refused, and for how long. A request is let in or refused whole, before it costs anything."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from service.errors import OverloadedError, RateLimitedError
from service.keys import Key

OVERLOADED = "More is waiting than can be answered in time; try again when Retry-After says."
Refused = Callable[[str, int], None]  # told the reason of refusals, and how many they are
JITTER_SECONDS = 2.0  # so that those who were refused together do not come back together
BURST_SECONDS = 2.0  # what a key may save up, in seconds of its rate


class Admission:
    """Bounds how long work waits (`max_wait`, seconds, by forecast) and how much memory it takes meanwhile (bytes).

    When nothing waits anything is let in: a request too big for the bound is still answered by an idle service.
    """

    def __init__(self, *, max_wait: float, max_bytes: int, refused: Refused = lambda reason, count: None) -> None:
        self._refused = refused
        self.max_wait = max_wait
        self.max_bytes = max_bytes
        self.seconds = 0.0  # forecast of all the work that was let in and is not done
        self.bytes = 0
        self.refusals = 0  # until now
        self.coming = 0  # bytes of requests that were not refused at the door, and ask in this pass of the event loop
        self.on_loop = 0  # pieces of that work that the event loop will do itself

    @property
    def is_full(self) -> bool:
        """With what is coming, as if a byte of it took as long as one of what was let in."""
        with_coming = self.bytes + self.coming
        return self.bytes > 0 and (
            self.seconds * with_coming > self.max_wait * self.bytes or with_coming > self.max_bytes
        )

    def has_come(self) -> None:
        """What was coming has asked by now, or waits for its body, which may never come."""
        self.coming = 0

    def check(self, size: int) -> None:
        """Raises OverloadedError if `size` bytes more are too many now. For before a body is read."""
        if self.bytes and (self.seconds > self.max_wait or self.bytes + size > self.max_bytes):
            self.count_refused(1)
            raise OverloadedError(OVERLOADED, headers={"retry-after": str(self.retry_after())})

    @contextmanager
    def let_in(self, seconds: float, size: int, *, on_loop: bool = False) -> Iterator[None]:
        """Holds the place of `seconds` of work and `size` bytes. Raises OverloadedError."""
        self.check(size)
        self.on_loop += on_loop
        self.seconds += seconds
        self.bytes += size
        try:
            yield
        finally:
            self.on_loop -= on_loop
            self.bytes -= size
            # sums of floats drift; an empty house is the moment to set them right
            self.seconds = self.seconds - seconds if self.bytes else 0.0

    def count_refused(self, count: int) -> None:
        self.refusals += count
        self._refused("overloaded", count)

    def retry_after(self) -> int:
        """The seconds after which one who is refused may try again."""
        return max(1, math.ceil(self.seconds + random.uniform(0, JITTER_SECONDS)))


class TokenBucket:
    """`rate` a second on average, and as much as BURST_SECONDS of it (at least one) at once."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.most = max(1.0, rate * BURST_SECONDS)
        self._level = self.most
        self._seen = monotonic()

    def take(self, count: int) -> float:
        """Takes `count` and returns 0; where they are not there takes nothing and returns the seconds until they are.

        More than the bucket holds is given when it is full, and owed.
        """
        now = monotonic()
        self._level = min(self.most, self._level + (now - self._seen) * self.rate)
        self._seen = now
        wanted = min(float(count), self.most)
        if self._level < wanted:
            return (wanted - self._level) / self.rate
        self._level -= count
        return 0.0


class RateLimits:
    """A bucket for each key that has a rate, of which each of `processes` gives an even share."""

    def __init__(self, refused: Refused = lambda reason, count: None, *, processes: int = 1) -> None:
        self._refused = refused
        self._processes = processes
        self._buckets: dict[tuple[str, float], TokenBucket] = {}

    def wait(self, key: Key | None, texts: int) -> float:
        """Takes them and returns 0, or the seconds after which so many are allowed."""
        if key is None or not key.per_second:
            return 0.0
        name = key.name, key.per_second  # the rate of a key may be changed while it runs
        return self._buckets.setdefault(name, TokenBucket(key.per_second / self._processes)).take(texts)

    def take(self, key: Key | None, texts: int) -> None:
        """Raises RateLimitedError, with the time after which as many texts are allowed."""
        if wait := self.wait(key, texts):
            assert key is not None
            self._refused("rate_limited", 1)
            raise RateLimitedError(
                f"This key may send {key.per_second:g} texts a second.",
                headers={"retry-after": str(math.ceil(wait))},
            )
