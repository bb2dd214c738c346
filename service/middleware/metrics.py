"""Count and time requests. Labels are ours, never the client's: no path or method can add a series."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from service.answer import Answer
from service.call import Call
from service.metrics import Metrics
from service.route import Endpoint

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


def count_requests(endpoint: Endpoint, metrics: Metrics) -> Endpoint:
    # Finding a series by its labels takes longer than adding to it.
    bound: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    async def counted(call: Call) -> Answer:
        answer = await endpoint(call)
        key = (call.method, call.template, answer.status)
        series = bound.get(key)
        if series is None:
            method = call.method if call.method in METHODS else "other"
            series = (
                metrics.requests.labels(method, call.template, str(answer.status)),
                metrics.request_seconds.labels(call.template),
            )
            if method == call.method:  # else clients could fill the memory with methods of their own
                bound[key] = series
        series[0].inc()
        series[1].observe(perf_counter() - call.arrived)
        return answer

    return counted
