"""Count and time requests. Labels are ours, never the client's: no path or method can add a series."""

from __future__ import annotations

from time import perf_counter
from typing import Any, Protocol

from service.answer import Answer
from service.call import Call
from service.metrics import Metrics, observe_alike
from service.route import Endpoint

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class Count(Protocol):
    def __call__(self, method: str, template: str, status: int, arrived: float, times: int = 1) -> None:
        """Told of an answer, or of several alike: the template of the route, and when the request came."""


def make_counter(metrics: Metrics) -> Count:
    # Finding a series by its labels takes longer than adding to it.
    bound: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    def count(method: str, template: str, status: int, arrived: float, times: int = 1) -> None:
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
        series[0].inc(times)
        observe_alike(series[1], perf_counter() - arrived, times)

    return count


def count_requests(endpoint: Endpoint, count: Count) -> Endpoint:
    async def counted(call: Call) -> Answer:
        answer = await endpoint(call)
        count(call.method, call.template, answer.status, call.arrived)
        return answer

    return counted
