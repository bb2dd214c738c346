"""POST /v1/classify/stream: NDJSON both ways. As many texts as you like in one request, answered as they come.

A line is a text in quotes, or {"text": "...", "id": anything}, where the text is a list if the model reads several
together; the answer is a line in the same place. A line that cannot be used gets an error and the rest go on. Nothing
is held but two blocks of lines: while the client does not take answers we do not read, so neither side runs full.

Lines stay bytes on the event loop. A block is parsed, classified and written by one function (service/lines.py), in the
thread of the version's `bulk` lane, or on the loop where that is quicker.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable
from functools import partial

import numpy as np

from service.answer import Answer, Stream
from service.call import Call
from service.errors import ClientGoneError, InvalidRequestError, NotReadyError, UnsupportedMediaTypeError
from service.inference import Inference
from service.lines import Block, answer_block, error_line, longest_line
from service.model_registry import ModelRegistry
from service.route import Route
from service.routes.classify import ERRORS, Asked, labels_wanted
from service.settings import Settings

MEDIA_TYPES = (b"application/x-ndjson", b"application/jsonl", b"application/ndjson")
HEADERS = [(b"content-type", b"application/x-ndjson"), (b"x-accel-buffering", b"no")]
BLOCK_BYTES = 1 << 19  # gathered while the block before is in the model; large ones cost less a line
LINES_AT_ONCE = 8192
NEWLINE = ord("\n")
LINGER_SECONDS = 0.3  # for the client to see that the service stops, before the connection is closed on what it sends
STOPPING = "The service is stopping: this line and those after it were not answered. Send them again."
PARAMETERS = tuple(
    {"name": name, "in": "query", "required": False, "schema": schema}
    for name, schema in (
        ("top_k", {"type": "integer", "minimum": 1, "default": 1}),
        ("threshold", {"type": "number", "minimum": 0, "maximum": 1}),
        ("model", {"type": "string"}),
    )
)
BODY = {
    "required": True,
    "content": {"application/x-ndjson": {"schema": {"type": "string", "examples": ['{"text": "a text", "id": 1}\n']}}},
}


def routes(settings: Settings, registry: ModelRegistry, inference: Inference) -> list[Route]:
    async def classify_stream(call: Call) -> Answer:
        """Labels for a stream of texts: one JSON value a line in (a string or an object with `text`), one a line out.

        Each answer has the number of its line, `id` if one was given, and either the prediction or `error`.
        """
        if call.media_type() not in MEDIA_TYPES:
            raise UnsupportedMediaTypeError("Send lines of JSON: Content-Type: application/x-ndjson.")
        if call.scope.get("http_version") == "1.0":  # it knows no end of an answer but that of the connection
            raise InvalidRequestError("A stream needs HTTP/1.1. (Behind nginx: proxy_http_version 1.1.)")
        asked = _asked(call)
        deployment = registry.choose(asked.model)
        top_k = labels_wanted(asked, deployment)
        inference.check(call)
        answer = partial(
            answer_block, deployment, top_k=top_k, threshold=asked.threshold, max_text_chars=settings.max_text_chars
        )

        def begin(block: Block) -> asyncio.Task[bytes]:
            work = inference.answer_lines(call, deployment, block.lines, len(block.content), partial(answer, block))
            return asyncio.ensure_future(work)

        async def answers() -> AsyncGenerator[bytes]:
            under_way: asyncio.Task[bytes] | None = None

            def give_up() -> None:
                if under_way:
                    under_way.cancel()

            most = inference.lines_at_once(call, LINES_AT_ONCE)
            blocks = Blocks(call, longest=longest_line(settings.max_text_chars), most=most, gone=give_up)
            reading = asyncio.ensure_future(blocks.read())
            try:
                with deployment.held():  # to its end a stream is answered by the version that it began with
                    while block := await blocks.next():
                        under_way = begin(block)
                        while under_way:
                            answered = await under_way
                            block = blocks.take()
                            under_way = begin(block) if block else None
                            yield answered
                    if reading.done():
                        reading.result()  # what nobody expected
                if call.cut:
                    yield error_line(blocks.number + 1, NotReadyError(STOPPING))
                    await asyncio.sleep(LINGER_SECONDS)
            except asyncio.CancelledError:
                if not blocks.client_left:
                    raise
            finally:
                reading.cancel()
                give_up()

        return Stream(answers(), [*HEADERS])

    return [
        Route(
            method="POST",
            path="/v1/classify/stream",
            endpoint=classify_stream,
            needs="infer",
            streams=True,
            answer_type="application/x-ndjson",
            errors=ERRORS,
            parameters=PARAMETERS,
            body=BODY,
            tag="classify",
        )
    ]


class Blocks:
    """The lines of a request: what has come since the last block was taken is the next. `number` is the last line's.

    `gone` is called when the client leaves.
    """

    def __init__(self, call: Call, *, longest: int, most: int, gone: Callable[[], None] = lambda: None) -> None:
        self.number = 0
        self.client_left = False
        self._gone = gone
        self._call = call
        self._longest = longest
        self._most = most
        self._ready: deque[bytes | None] = (
            deque()
        )  # whole lines, without their last newline; None: one that is too long
        self._size = 0  # bytes that are ready
        self._rest = b""  # of a line that has not come whole
        self._skipping = False  # until the end of a line that is too long
        self._ended = False
        self._changed = asyncio.Event()

    async def read(self) -> None:
        """Gather lines, waiting while a block of them is not taken; return once the client left."""
        try:
            async for piece in self._call.pieces():
                self._add(piece)
                self._changed.set()
                while self._size >= BLOCK_BYTES:
                    self._changed.clear()
                    await self._changed.wait()
            if self._rest.strip() and not self._skipping and not self._call.cut:
                self._ready.append(self._rest)
            self._end()
            await self._call.gone()
            self._leave()
        except ClientGoneError:
            self._leave()
        finally:
            self._end()

    def _end(self) -> None:
        self._ended = True
        self._changed.set()

    def _leave(self) -> None:
        self.client_left = True
        self._ready.clear()  # nobody waits for what has come and is not begun
        self._size = 0
        self._gone()

    async def next(self) -> Block | None:
        """The next block as soon as there is a line; None at the end."""
        while not self._ready and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        return self.take()

    def take(self) -> Block | None:
        """The next block, if there is one now."""
        if not self._ready:
            return None
        self._changed.set()
        if self._ready[0] is None:
            self._ready.popleft()
            self.number += 1
            return Block(b"", self.number, 1, too_long=True)
        whole = []
        while self._ready and (lines := self._ready[0]) is not None:
            whole.append(lines)
            self._ready.popleft()
        content = b"\n".join(whole)
        # faster than bytes.count where there are many
        count = int(np.count_nonzero(np.frombuffer(content, np.uint8) == NEWLINE)) + 1
        if count > self._most:
            split = content.split(b"\n", self._most)
            self._ready.appendleft(split.pop())
            content, count = b"\n".join(split), self._most
        self._size = sum(len(lines) for lines in self._ready if lines)
        self.number += count
        return Block(content, self.number - count + 1, count)

    def _add(self, piece: bytes) -> None:
        lines, newline, rest = piece.rpartition(b"\n")
        if newline:
            lines = self._rest + lines
            if self._skipping:
                _, newline, lines = lines.partition(b"\n")
                self._skipping = False
            if newline:
                self._ready.append(lines)
                self._size += len(lines)
            self._rest = rest
        else:
            self._rest += piece
        if self._skipping:
            self._rest = b""
        elif len(self._rest) > self._longest:
            self._ready.append(None)
            self._rest, self._skipping = b"", True


def _asked(call: Call) -> Asked:
    """The options in the query. Raises InvalidRequestError."""
    given: dict[str, str] = {}
    for name, value in call.query():
        if name not in ("top_k", "threshold", "model") or name in given:
            raise InvalidRequestError("The query takes top_k, threshold and model, each once.")
        given[name] = value
    top_k, threshold = given.get("top_k"), given.get("threshold")
    if top_k is not None and not re.fullmatch("[1-9][0-9]{0,8}", top_k):
        raise InvalidRequestError("top_k must be a whole number, 1 or more.")
    if threshold is not None and not re.fullmatch(r"0(\.[0-9]{1,20})?|1(\.0{1,20})?", threshold):
        raise InvalidRequestError("threshold must be a number from 0 to 1.")
    return Asked(
        [], int(top_k) if top_k else None, float(threshold) if threshold is not None else None, given.get("model", "")
    )
