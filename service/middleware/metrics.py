"""Count and time requests. Labels are ours, never the client's: no path or method can add a series."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from service.answer import Answer
from service.call import Call
from service.metrics import Metrics
from service.route import Endpoint

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


def make_counter(metrics: Metrics) -> Callable[[str, str, int, float], None]:
    """A function to be told of every answer: method, template of the route, status, when the request came."""
    # Finding a series by its labels takes longer than adding to it.
    bound: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    def count(method: str, template: str, status: int, arrived: float) -> None:
        key = (method, template, status)
        series = bound.get(key)
        if series is None:
            known = method in METHODS
            series = (
                metrics.requests.labels(method if known else "other", template, str(status)),
                metrics.request_seconds.labels(template),
            )
            if known:  # else clients could fill the memory with methods of their own
                bound[key] = series
        series[0].inc()
        series[1].observe(perf_counter() - arrived)

    return count


def count_requests(endpoint: Endpoint, count: Callable[[str, str, int, float], None]) -> Endpoint:
    async def counted(call: Call) -> Answer:
        answer = await endpoint(call)
        count(call.method, call.template, answer.status, call.arrived)
        return answer

    return counted
