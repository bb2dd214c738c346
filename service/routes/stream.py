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
from math import inf

import numpy as np

from service.answer import Answer, Stream
from service.call import Call
from service.deployment import Deployment
from service.errors import ClientGoneError, InvalidRequestError, NotReadyError, UnsupportedMediaTypeError
from service.inference import Inference
from service.lines import Block, answer_block, error_line, longest_line
from service.model_registry import ModelRegistry
from service.route import Route
from service.routes.classify import ERRORS, Asked, labels_wanted
from service.settings import Settings

MEDIA_TYPES = (b"application/x-ndjson", b"application/jsonl", b"application/ndjson")
HEADERS = [(b"content-type", b"application/x-ndjson"), (b"x-accel-buffering", b"no")]
# A block is gathered while the one before is in the model. Large ones cost less a line; but whoever comes meanwhile
# waits for their end, and with many streams at once they would take much memory.
MOST_BYTES, LEAST_BYTES, BYTES_OF_ALL = 1 << 21, 1 << 16, 1 << 23
BLOCK_SECONDS = 0.1  # of the model's time
LEAST_LINE = 64  # bytes; of shorter ones a block has as many as if they had so many
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
    streams = 0  # that are under way

    def room(deployment: Deployment) -> int:
        share = min(MOST_BYTES, BYTES_OF_ALL // streams)
        return max(LEAST_BYTES, min(share, inference.cost_in(BLOCK_SECONDS, deployment)))

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
            nonlocal streams
            under_way: asyncio.Task[bytes] | None = None

            def give_up() -> None:
                if under_way:
                    under_way.cancel()

            longest = longest_line(settings.max_text_chars)
            blocks = Blocks(
                call, longest=longest, room=partial(room, deployment), most=inference.lines_at_once(call), gone=give_up
            )
            streams += 1
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
                            if call.left:
                                return
                    if reading.done():
                        reading.result()  # what nobody expected
                if call.cut:
                    yield error_line(blocks.number + 1, NotReadyError(STOPPING))
                    await asyncio.sleep(LINGER_SECONDS)
            except asyncio.CancelledError:
                if not blocks.client_left:
                    raise
            finally:
                streams -= 1
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

    Not much more than `room()` bytes are held; a block has at most `most` lines; `gone` is called when the client left.
    """

    def __init__(
        self,
        call: Call,
        *,
        longest: int,
        room: Callable[[], int],
        most: float = inf,
        gone: Callable[[], None] = lambda: None,
    ) -> None:
        self.number = 0
        self.client_left = False
        self._gone = gone
        self._call = call
        self._longest = longest
        self._most = most
        self._room = room
        self._pieces: list[bytes] = []  # as they came
        self._size = 0  # of all pieces, in bytes
        self._open = 0  # of these belong to a line that has not come whole
        # Lines before these, without the last newline; None: one that is too long.
        self._earlier: deque[bytes | None] = deque()
        self._skipping = False  # until the end of a line that is too long
        self._ended = False
        self._changed = asyncio.Event()

    async def read(self) -> None:
        """Gather lines, waiting while a block of them is not taken; return once the client left."""
        try:
            async for piece in self._call.pieces():
                self._add(piece)
                self._changed.set()
                while self._earlier or (self._is_ready and self._size >= self._room()):
                    self._changed.clear()
                    await self._changed.wait()
            if self._open and not self._call.cut:
                self._add(b"\n")
            self._end()
            await self._call.gone()
            self._leave()
        except ClientGoneError:
            self._leave()
        finally:
            self._end()

    @property
    def _is_ready(self) -> bool:
        return bool(self._earlier) or self._size > self._open

    def _end(self) -> None:
        self._ended = True
        self._changed.set()

    def _leave(self) -> None:
        self.client_left = True
        self._earlier.clear()  # nobody waits for what has come and is not begun
        self._pieces, self._size, self._open = [], 0, 0
        self._gone()

    async def next(self) -> Block | None:
        """The next block as soon as there is a line; None at the end."""
        while not self._is_ready and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        return self.take()

    def take(self) -> Block | None:
        """The next block, if there is one now."""
        if not self._is_ready:
            return None
        self._changed.set()
        content = self._earlier.popleft() if self._earlier else self._whole_lines()
        if content is None:
            self.number += 1
            return Block(b"", self.number, 1, too_long=True)
        # faster than bytes.count where there are many
        count = int(np.count_nonzero(np.frombuffer(content, np.uint8) == NEWLINE)) + 1
        most = int(min(self._most, self._room() / LEAST_LINE))
        if count > most:
            split = content.split(b"\n", most)
            self._earlier.appendleft(split.pop())
            content, count = b"\n".join(split), most
        self.number += count
        return Block(content, self.number - count + 1, count)

    def _whole_lines(self) -> bytes:
        """All that came but for the open line, without the last newline."""
        held, rest = self._pieces, []
        while (newline := held[-1].rfind(b"\n")) < 0:
            rest.append(held.pop())
        last = held.pop()
        self._pieces = [last[newline + 1 :], *reversed(rest)]
        self._size = self._open
        return b"".join([*held, last[:newline]])

    def _add(self, piece: bytes) -> None:
        if self._skipping:
            _, newline, piece = piece.partition(b"\n")
            if not newline:
                return
            self._skipping = False
        behind = len(piece) - 1 - piece.rfind(b"\n")
        self._open = behind + (self._open if behind == len(piece) else 0)
        self._pieces.append(piece)
        self._size += len(piece)
        if self._open > self._longest:
            if self._size > self._open:
                self._earlier.append(self._whole_lines())
            self._earlier.append(None)
            self._pieces, self._size, self._open, self._skipping = [], 0, 0, True


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
