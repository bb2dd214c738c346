"""Asks a running service. Client and AsyncClient differ only in how they send; both need httpx (extra `client`).

>>> with Client("http://localhost:8000", key="tc_...") as client:
...     client.classify("where is my parcel?").label
'delivery'
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import ValidationError

from service.schemas import ClassifyResponse, Model, ModelsResponse, Text, TextFailure, TextPrediction

TIMEOUT_SECONDS = 30.0
RETRIES = 3
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0  # seconds, where the service says nothing of Retry-After
TRY_AGAIN = frozenset({429, 502, 503})  # nothing was done, and later something may be
BATCH = 256  # texts of one request where many are sent


class ServiceError(Exception):
    """The service refused, or failed. `status` is 0 where no answer came at all."""

    def __init__(self, message: str, *, status: int, code: str, request_id: str = "") -> None:
        super().__init__(f"{message} ({status} {code}{f', request {request_id}' if request_id else ''})")
        self.status = status
        self.code = code
        self.request_id = request_id


class TextFailedError(ServiceError):
    """The model failed on one text of several; `position` says which."""

    def __init__(self, position: int, failure: TextFailure, request_id: str) -> None:
        message = f"text {position}: {failure.error.message}"
        super().__init__(message, status=200, code=failure.error.code, request_id=request_id)
        self.position = position


def _headers(key: str | None, timeout: float) -> dict[str, str]:
    # The service gives up when we do: work that nobody waits for is not done.
    headers = {"x-request-timeout-ms": str(max(1, int(timeout * 1000)))}
    return headers | ({"authorization": f"Bearer {key}"} if key else {})


def _body(texts: Sequence[Text], top_k: int | None, threshold: float | None, model: str | None) -> dict[str, Any]:
    given = {"texts": list(texts), "top_k": top_k, "threshold": threshold, "model": model}
    return {name: value for name, value in given.items() if value is not None}


def _predictions(response: httpx.Response) -> list[TextPrediction]:
    """Raises ServiceError, TextFailedError."""
    try:
        answer = ClassifyResponse.model_validate_json(_good(response).content)
    except ValidationError:
        raise ServiceError("the answer is not one of this service", status=200, code="unexpected") from None
    predictions = []
    for position, prediction in enumerate(answer.predictions):
        if isinstance(prediction, TextFailure):
            raise TextFailedError(position, prediction, answer.request_id)
        predictions.append(prediction)
    return predictions


def _good(response: httpx.Response) -> httpx.Response:
    """Raises ServiceError unless it is a 200."""
    if response.status_code == 200:
        return response
    try:
        error = json.loads(response.content)["error"]
        raise ServiceError(
            error["message"], status=response.status_code, code=error["code"], request_id=error["request_id"]
        )
    except (ValueError, KeyError, TypeError):
        message = "the answer is not one of this service"
        raise ServiceError(message, status=response.status_code, code="unexpected") from None


def _pause(attempt: int, response: httpx.Response | None) -> float | None:
    """Seconds until another try; None: none would help."""
    if response is not None and response.status_code not in TRY_AGAIN:
        return None
    told = response.headers.get("retry-after", "") if response is not None else ""
    if told.isdecimal():
        return min(float(told), LONGEST_PAUSE)
    return min(FIRST_PAUSE * float(2**attempt), LONGEST_PAUSE) * random.uniform(0.5, 1.5)


def _unreachable(error: httpx.TransportError) -> ServiceError:
    return ServiceError(f"no answer: {error or type(error).__name__}", status=0, code="unreachable")


def _batches(texts: Iterable[Text], size: int) -> Iterator[list[Text]]:
    remaining = iter(texts)
    while batch := list(islice(remaining, size)):
        yield batch


class Client:
    """Not for several threads at once. Raises ServiceError; tries again where the service says that helps."""

    def __init__(
        self, url: str, *, key: str | None = None, timeout: float = TIMEOUT_SECONDS, retries: int = RETRIES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:  # fmt: skip
        self._retries = retries
        self._http = httpx.Client(base_url=url, headers=_headers(key, timeout), timeout=timeout, transport=transport)

    def classify(
        self, text: Text, *, top_k: int | None = None, threshold: float | None = None, model: str | None = None
    ) -> TextPrediction:
        """The labels of one text."""
        return self.classify_many([text], top_k=top_k, threshold=threshold, model=model)[0]

    def classify_many(
        self, texts: Sequence[Text], *, top_k: int | None = None, threshold: float | None = None,
        model: str | None = None,
    ) -> list[TextPrediction]:  # fmt: skip
        """The labels of several texts, in one request, in order."""
        return _predictions(self._send("POST", "/v1/classify", _body(texts, top_k, threshold, model)))

    def classify_all(
        self, texts: Iterable[Text], *, batch: int = BATCH, top_k: int | None = None, threshold: float | None = None,
        model: str | None = None,
    ) -> Iterator[TextPrediction]:  # fmt: skip
        """The labels of any number of texts, a request for each `batch`."""
        for part in _batches(texts, batch):
            yield from self.classify_many(part, top_k=top_k, threshold=threshold, model=model)

    def models(self) -> list[Model]:
        """What the service has loaded."""
        return ModelsResponse.model_validate_json(_good(self._send("GET", "/v1/models")).content).models

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        for attempt in range(self._retries + 1):
            response = None
            try:
                response = self._http.request(method, path, json=body)
            except httpx.TransportError as error:
                if attempt == self._retries:
                    raise _unreachable(error) from error
            pause = _pause(attempt, response)
            if response is not None and (pause is None or attempt == self._retries):
                return response
            time.sleep(pause or 0.0)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """As Client, for asyncio; may be used by several tasks at once."""

    def __init__(
        self, url: str, *, key: str | None = None, timeout: float = TIMEOUT_SECONDS, retries: int = RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:  # fmt: skip
        self._retries = retries
        self._http = httpx.AsyncClient(
            base_url=url, headers=_headers(key, timeout), timeout=timeout, transport=transport
        )

    async def classify(
        self, text: Text, *, top_k: int | None = None, threshold: float | None = None, model: str | None = None
    ) -> TextPrediction:
        """The labels of one text."""
        return (await self.classify_many([text], top_k=top_k, threshold=threshold, model=model))[0]

    async def classify_many(
        self, texts: Sequence[Text], *, top_k: int | None = None, threshold: float | None = None,
        model: str | None = None,
    ) -> list[TextPrediction]:  # fmt: skip
        """The labels of several texts, in one request, in order."""
        return _predictions(await self._send("POST", "/v1/classify", _body(texts, top_k, threshold, model)))

    async def classify_all(
        self, texts: Iterable[Text], *, batch: int = BATCH, top_k: int | None = None, threshold: float | None = None,
        model: str | None = None,
    ) -> AsyncIterator[TextPrediction]:  # fmt: skip
        """The labels of any number of texts, a request for each `batch`."""
        for part in _batches(texts, batch):
            for prediction in await self.classify_many(part, top_k=top_k, threshold=threshold, model=model):
                yield prediction

    async def models(self) -> list[Model]:
        """What the service has loaded."""
        return ModelsResponse.model_validate_json(_good(await self._send("GET", "/v1/models")).content).models

    async def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        for attempt in range(self._retries + 1):
            response = None
            try:
                response = await self._http.request(method, path, json=body)
            except httpx.TransportError as error:
                if attempt == self._retries:
                    raise _unreachable(error) from error
            pause = _pause(attempt, response)
            if response is not None and (pause is None or attempt == self._retries):
                return response
            await asyncio.sleep(pause or 0.0)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
