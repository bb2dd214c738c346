"""Asks a running service. Client and AsyncClient differ only in how they send; both need httpx (extra `client`).

>>> with Client("http://localhost:8000", key="tc_...") as client:
...     client.classify("where is my parcel?").label
...     for text, found in zip(texts, client.stream(texts)):
...         ...
'delivery'

What a newer service says beyond what is known here is passed over.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Sequence,
)
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Generic, Self, TypedDict, TypeVar, Unpack

import httpx
from pydantic import ValidationError

from service.schemas import (
    ERROR_KINDS,
    ClassifyResponse,
    ErrorResponse,
    ExplainResponse,
    Explanation,
    Model,
    ModelsResponse,
    StreamLine,
    Text,
    TextFailure,
    TextPrediction,
)

TIMEOUT_SECONDS = 30.0
RETRIES = 3
WAIT_SECONDS = 30.0  # in all, for a service that is starting
LONGEST_WAIT = 1.0  # between two looks whether it has
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0  # seconds, where the service says nothing of Retry-After; told more, it gives up
TRY_AGAIN = {502} | {kind.status for kind in ERROR_KINDS.values() if kind.again}  # 502: of a proxy before the service
BATCH, BATCH_BYTES = 256, 1 << 16  # of one request of a stream: what fits into a socket while no answer is read
AT_ONCE = 4  # requests of a stream under way

Answer = TypeVar("Answer")
Part = TypeVar("Part")


class Options(TypedDict, total=False):
    """Of a classification; see ClassifyText. What is left out, or None, is as the service has it."""

    top_k: int | None
    threshold: float | None
    model: str | None


class ClassifyOptions(Options, total=False):
    explain: bool | None


class ExplainOptions(TypedDict, total=False):
    """See ExplainText."""

    label: str | None
    top_n: int | None
    model: str | None


class FeedbackOptions(TypedDict, total=False):
    """See Feedback."""

    predicted: str | None
    model: str | None
    version: str | None
    request_id: str | None
    comment: str | None


class ServiceError(Exception):
    """The service refused, or failed. `status` is 0 where no answer came at all.

    `code` is one of ERROR_KINDS or of a newer service, "unreachable", or "unexpected" for what is no answer of this
    service. `retry_after` are the seconds until another try may help, None where nothing is said of it.
    """

    def __init__(
        self, message: str, *, status: int, code: str, request_id: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(f"{message} ({status} {code}{f', request {request_id}' if request_id else ''})")
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after


class TextFailedError(ServiceError):
    """The model failed on one text of several; `position` says which."""

    def __init__(self, position: int, failure: TextFailure, request_id: str = "") -> None:
        message = f"text {position}: {failure.error.message}"
        super().__init__(message, status=200, code=failure.error.code, request_id=request_id)
        self.position = position


@dataclass(frozen=True)
class Request(Generic[Answer]):
    """What to send, and what to make of a 200."""

    method: str
    path: str
    read: Callable[[bytes], Answer]
    body: bytes | None = None
    media_type: str = "application/json"
    query: dict[str, Any] = field(default_factory=dict)

    def sent(self) -> dict[str, Any]:
        """Arguments of httpx's `request`."""
        sent: dict[str, Any] = {"method": self.method, "url": self.path, "params": self.query or None}
        if self.body is not None:
            sent |= {"content": self.body, "headers": {"content-type": self.media_type}}
        return sent

    def answer(self, response: httpx.Response) -> Answer:
        """Raises ServiceError."""
        if response.status_code != 200:
            raise _refusal(response)
        try:
            return self.read(response.content)
        except ValidationError:
            raise _unexpected(200) from None


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()  # in ASCII, so that half of a surrogate pair is refused by the service, not here


def _given(options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _classify(texts: Sequence[Text], options: ClassifyOptions) -> Request[list[TextPrediction]]:
    def read(content: bytes) -> list[TextPrediction]:
        answer = ClassifyResponse.model_validate_json(content)
        return list(_all_good(answer.predictions, answer.request_id))

    return Request("POST", "/v1/classify", read, _json({"texts": list(texts), **_given(options)}))


def _explain(texts: Sequence[Text], options: ExplainOptions) -> Request[list[Explanation]]:
    def read(content: bytes) -> list[Explanation]:
        answer = ExplainResponse.model_validate_json(content)
        return list(_all_good(answer.explanations, answer.request_id))

    return Request("POST", "/v1/explain", read, _json({"texts": list(texts), **_given(options)}))


def _feedback(text: Text, label: str, options: FeedbackOptions) -> Request[None]:
    body = {"text": text, "label": label, **_given(options)}
    return Request("POST", "/v1/feedback", lambda content: None, _json(body))


def _models() -> Request[list[Model]]:
    return Request("GET", "/v1/models", lambda content: ModelsResponse.model_validate_json(content).models)


def _lines(lines: Sequence[bytes], options: Options) -> Request[list[TextPrediction | TextFailure]]:
    def read(content: bytes) -> list[TextPrediction | TextFailure]:
        answers = [StreamLine.validate_json(line) for line in content.splitlines()]
        if len(answers) != len(lines):
            raise _unexpected(200)
        return answers

    return Request("POST", "/v1/classify/stream", read, b"".join(lines), "application/x-ndjson", _given(options))


def _all_good(answers: Iterable[Answer | TextFailure], request_id: str = "") -> Iterator[Answer]:
    """Raises TextFailedError."""
    for position, answer in enumerate(answers):
        if isinstance(answer, TextFailure):
            raise TextFailedError(position, answer, request_id)
        yield answer


class _Parts:
    """Gathers the lines of a stream into requests."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._lines: list[bytes] = []
        self._bytes = 0

    def add(self, text: Text) -> list[bytes] | None:
        """The lines of a request that is full without this one."""
        line = _json(text) + b"\n"
        is_full = len(self._lines) == self._batch or self._bytes + len(line) > BATCH_BYTES
        full = self.rest() if self._lines and is_full else None
        self._lines.append(line)
        self._bytes += len(line)
        return full

    def rest(self) -> list[bytes]:
        lines, self._lines, self._bytes = self._lines, [], 0
        return lines


def _refusal(response: httpx.Response) -> ServiceError:
    try:
        error = ErrorResponse.model_validate_json(response.content).error
    except ValidationError:
        return _unexpected(response.status_code, _told(response))
    return ServiceError(
        error.message, status=response.status_code, code=error.code, request_id=error.request_id,
        retry_after=_told(response),
    )  # fmt: skip


def _unexpected(status: int, retry_after: float | None = None) -> ServiceError:
    message = "the answer is not one of this service"
    return ServiceError(message, status=status, code="unexpected", retry_after=retry_after)


def _unreachable(error: httpx.TransportError) -> ServiceError:
    return ServiceError(f"no answer: {str(error) or type(error).__name__}", status=0, code="unreachable")


def _told(response: httpx.Response) -> float | None:
    """Seconds of Retry-After, which is a number or a date."""
    value = response.headers.get("retry-after", "")
    if value.isdecimal():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (when - datetime.now(UTC)).total_seconds()) if when.tzinfo else None


def _is_starting(error: httpx.TransportError) -> bool:
    """Whether there may soon be a service: nobody listens yet. Names and certificates do not come with time."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (socket.gaierror, ssl.SSLError)):
            return False
        cause = cause.__cause__ or cause.__context__
    return isinstance(error, httpx.ConnectError)


def _longer(turn: int, longest: float) -> float:
    """Seconds, twice as many each turn; by chance some more or less, so that not all clients come together."""
    doublings = min(turn, 10)  # far beyond the longest, and a power that a float can hold
    return min(FIRST_PAUSE * 2.0**doublings, longest) * random.uniform(0.5, 1.5)


class _Tries:
    """Of one request: how often, and how long a service that is starting is waited for beside."""

    def __init__(self, retries: int, wait: float) -> None:
        self._retries = retries
        self._wait = wait
        self._failed = self._waited_for = 0

    def pause(self, error: ServiceError, *, starting: bool) -> float:
        """Seconds until another try. Raises `error` where none would help, or not soon enough."""
        if starting:
            pause = error.retry_after
            if pause is None:
                pause = _longer(self._waited_for, LONGEST_WAIT)
            self._waited_for += 1
            self._wait -= pause
            if self._wait < 0:
                raise error
            return pause
        if self._failed == self._retries or (error.code != "unreachable" and error.status not in TRY_AGAIN):
            raise error
        pause = error.retry_after
        if pause is None:
            pause = _longer(self._failed, LONGEST_PAUSE)
        elif pause > LONGEST_PAUSE:
            raise error
        self._failed += 1
        return pause


def _headers(key: str | None, timeout: float) -> dict[str, str]:
    # The service gives up when we do: work that nobody waits for is not done.
    headers = {"x-request-timeout-ms": str(max(1, int(timeout * 1000)))}
    return headers | ({"authorization": f"Bearer {key}"} if key else {})


class Client:
    """May be used by several threads. Raises ServiceError; tries again, `retries` times, where that may help.

    A service that does not listen yet, or is loading its models, is waited for beside: `wait` seconds in all.
    """

    def __init__(
        self, url: str, *, key: str | None = None, timeout: float = TIMEOUT_SECONDS, retries: int = RETRIES,
        wait: float = WAIT_SECONDS, transport: httpx.BaseTransport | None = None,
    ) -> None:  # fmt: skip
        self._retries, self._wait = retries, wait
        self._http = httpx.Client(base_url=url, headers=_headers(key, timeout), timeout=timeout, transport=transport)
        self._sending: set[int] = set()  # threads that wait for an answer now
        self._sent = threading.Condition()

    def classify(self, text: Text, **options: Unpack[ClassifyOptions]) -> TextPrediction:
        """The labels of one text."""
        return self._send(_classify([text], options))[0]

    def classify_many(self, texts: Sequence[Text], **options: Unpack[ClassifyOptions]) -> list[TextPrediction]:
        """The labels of several texts, in one request, in order. Raises TextFailedError as well."""
        return self._send(_classify(texts, options))

    def classify_all(
        self, texts: Iterable[Text], *, batch: int = BATCH, **options: Unpack[Options]
    ) -> Iterator[TextPrediction]:
        """As `stream`, but raises TextFailedError for a text that gets no prediction."""
        with closing(self.stream(texts, batch=batch, **options)) as answers:
            yield from _all_good(answers)

    def stream(
        self, texts: Iterable[Text], *, batch: int = BATCH, **options: Unpack[Options]
    ) -> Generator[TextPrediction | TextFailure, None, None]:
        """The labels of any number of texts, in order, as they come; of one that cannot be labelled, why.

        At most `batch` texts make a request, and a few requests are under way: no more is taken ahead of what is read.
        """
        threads = ThreadPoolExecutor(AT_ONCE)
        under_way: deque[Future[list[TextPrediction | TextFailure]]] = deque()
        try:
            for lines in _parts(texts, batch):
                under_way.append(threads.submit(self._send, _lines(lines, options)))
                while len(under_way) >= AT_ONCE or (under_way and under_way[0].done()):
                    yield from under_way.popleft().result()
            while under_way:
                yield from under_way.popleft().result()
        finally:
            # Not waited for: a stream that nobody holds any more may be closed in one of these threads.
            threads.shutdown(wait=False, cancel_futures=True)

    def explain(self, text: Text, **options: Unpack[ExplainOptions]) -> Explanation:
        """Why one text gets its label, or another one."""
        return self._send(_explain([text], options))[0]

    def explain_many(self, texts: Sequence[Text], **options: Unpack[ExplainOptions]) -> list[Explanation]:
        """The same for several texts, in one request. Raises TextFailedError as well."""
        return self._send(_explain(texts, options))

    def feedback(self, text: Text, label: str, **options: Unpack[FeedbackOptions]) -> None:
        """Keep a text with the label that is right; returns when it is on the service's disk."""
        self._send(_feedback(text, label, options))

    def models(self) -> list[Model]:
        """What the service has loaded."""
        return self._send(_models())

    def _send(self, request: Request[Answer]) -> Answer:
        tries = _Tries(self._retries, self._wait)
        while True:
            try:
                return request.answer(self._asked(request))
            except httpx.TransportError as error:
                failure, starting = _unreachable(error), _is_starting(error)
            except ServiceError as error:
                failure, starting = error, error.code == "not_ready"
            time.sleep(tries.pause(failure, starting=starting))

    def _asked(self, request: Request[Answer]) -> httpx.Response:
        me = threading.get_ident()
        with self._sent:
            self._sending.add(me)
        try:
            return self._http.request(**request.sent())
        finally:
            with self._sent:
                self._sending.discard(me)
                self._sent.notify_all()

    def close(self) -> None:
        """Waits for what other threads have asked, such as those of a stream that was let go.

        A connection that is made after httpx has closed its own would be left open.
        """
        with self._sent:
            self._sent.wait_for(lambda: not self._sending - {threading.get_ident()})
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
        wait: float = WAIT_SECONDS, transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:  # fmt: skip
        self._retries, self._wait = retries, wait
        self._http = httpx.AsyncClient(
            base_url=url, headers=_headers(key, timeout), timeout=timeout, transport=transport
        )

    async def classify(self, text: Text, **options: Unpack[ClassifyOptions]) -> TextPrediction:
        """The labels of one text."""
        return (await self._send(_classify([text], options)))[0]

    async def classify_many(self, texts: Sequence[Text], **options: Unpack[ClassifyOptions]) -> list[TextPrediction]:
        """The labels of several texts, in one request, in order. Raises TextFailedError as well."""
        return await self._send(_classify(texts, options))

    async def classify_all(
        self, texts: Iterable[Text] | AsyncIterable[Text], *, batch: int = BATCH, **options: Unpack[Options]
    ) -> AsyncIterator[TextPrediction]:
        """As `stream`, but raises TextFailedError for a text that gets no prediction."""
        position = 0
        async with aclosing(self.stream(texts, batch=batch, **options)) as answers:
            async for answer in answers:
                if isinstance(answer, TextFailure):
                    raise TextFailedError(position, answer)
                yield answer
                position += 1

    async def stream(
        self, texts: Iterable[Text] | AsyncIterable[Text], *, batch: int = BATCH, **options: Unpack[Options]
    ) -> AsyncGenerator[TextPrediction | TextFailure, None]:
        """As Client.stream."""
        under_way: deque[asyncio.Task[list[TextPrediction | TextFailure]]] = deque()
        try:
            async for lines in _async_parts(texts, batch):
                under_way.append(asyncio.ensure_future(self._send(_lines(lines, options))))
                while len(under_way) >= AT_ONCE or (under_way and under_way[0].done()):
                    for answer in await under_way.popleft():
                        yield answer
            while under_way:
                for answer in await under_way.popleft():
                    yield answer
        finally:
            for task in under_way:
                task.cancel()

    async def explain(self, text: Text, **options: Unpack[ExplainOptions]) -> Explanation:
        """Why one text gets its label, or another one."""
        return (await self._send(_explain([text], options)))[0]

    async def explain_many(self, texts: Sequence[Text], **options: Unpack[ExplainOptions]) -> list[Explanation]:
        """The same for several texts, in one request. Raises TextFailedError as well."""
        return await self._send(_explain(texts, options))

    async def feedback(self, text: Text, label: str, **options: Unpack[FeedbackOptions]) -> None:
        """Keep a text with the label that is right; returns when it is on the service's disk."""
        await self._send(_feedback(text, label, options))

    async def models(self) -> list[Model]:
        """What the service has loaded."""
        return await self._send(_models())

    async def _send(self, request: Request[Answer]) -> Answer:
        tries = _Tries(self._retries, self._wait)
        while True:
            try:
                return request.answer(await self._http.request(**request.sent()))
            except httpx.TransportError as error:
                failure, starting = _unreachable(error), _is_starting(error)
            except ServiceError as error:
                failure, starting = error, error.code == "not_ready"
            await asyncio.sleep(tries.pause(failure, starting=starting))

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _parts(texts: Iterable[Text], batch: int) -> Iterator[list[bytes]]:
    parts = _Parts(batch)
    for text in texts:
        if full := parts.add(text):
            yield full
    if rest := parts.rest():
        yield rest


async def _async_parts(texts: Iterable[Text] | AsyncIterable[Text], batch: int) -> AsyncIterator[list[bytes]]:
    parts = _Parts(batch)
    if isinstance(texts, AsyncIterable):
        async for text in texts:
            if full := parts.add(text):
                yield full
    else:
        for text in texts:
            if full := parts.add(text):
                yield full
    if rest := parts.rest():
        yield rest
