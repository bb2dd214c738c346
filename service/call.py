"""One request, read as far as an endpoint asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from time import perf_counter
from typing import Any
from urllib.parse import parse_qsl

from service.answer import Headers
from service.errors import BodyTooLargeError, ClientGoneError, InvalidRequestError, UnsupportedMediaTypeError
from service.keys import Key

Receive = Callable[[], Awaitable[dict[str, Any]]]


class Call:
    """A request: its headers are at hand, its body is read when asked for."""

    __slots__ = (
        "arrived",
        "id",
        "key",
        "max_body_bytes",
        "method",
        "parameters",
        "path",
        "receive",
        "scope",
        "template",
    )

    def __init__(self, scope: dict[str, Any], receive: Receive, max_body_bytes: int) -> None:
        self.scope = scope
        self.receive = receive
        self.max_body_bytes = max_body_bytes
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.arrived: float = scope.get("textcnn.arrived") or perf_counter()  # of time.perf_counter; see guard.py
        self.id = ""
        self.key: Key | None = None
        self.template = "unmatched"  # the path of the route, once it is found
        self.parameters: dict[str, str] = {}  # what stands in the places of the route's template

    def header(self, name: bytes) -> bytes:
        """The value of a header, `name` in lower case; b"" where there is none. Of several, the first."""
        headers: Headers = self.scope["headers"]
        for key, value in headers:
            if key == name:
                return value.strip(b" \t")  # the parser leaves what stands behind it: RFC 9110, 5.5
        return b""

    def query(self) -> list[tuple[str, str]]:
        """Names and values of the query, in order."""
        given: bytes = self.scope.get("query_string", b"")
        return parse_qsl(given.decode("latin-1"), keep_blank_values=True, errors="replace") if given else []

    def refuse_in_query(self, fields: frozenset[str]) -> None:
        """Raises InvalidRequestError for a field of the body that stands in the address, where it has no effect."""
        for name, _ in self.query():
            if name in fields:
                raise InvalidRequestError(f"{name} belongs into the body, not into the address.")

    def media_type(self) -> bytes:
        """The media type of the body, without parameters. Raises UnsupportedMediaTypeError for a compressed body."""
        if self.header(b"content-encoding").lower() not in (b"", b"identity"):
            raise UnsupportedMediaTypeError("Send the body as it is, without Content-Encoding.")
        if self.header(b"transfer-encoding").lower() not in (b"", b"chunked"):
            raise UnsupportedMediaTypeError("Send the body as it is: of Transfer-Encoding only chunked is read.")
        content_type = self.header(b"content-type")
        if content_type == b"application/json":
            return content_type
        return content_type.partition(b";")[0].strip().lower()

    def need(self, media_type: bytes) -> None:
        """Raises UnsupportedMediaTypeError unless the body is declared as `media_type`, uncompressed."""
        if self.media_type() != media_type:
            name = media_type.decode()
            raise UnsupportedMediaTypeError(f"Send {name}, and say so in the header: Content-Type: {name}.")

    @property
    def declared_bytes(self) -> int:
        """What Content-Length says; 0 where it says nothing."""
        value = self.header(b"content-length")
        return int(value) if value.isdigit() and len(value) < 19 else 0

    @property
    def cut(self) -> bool:
        """Whether the body ended because the service stops, not because the client had sent it all; see guard.py."""
        return "textcnn.cut" in self.scope

    @property
    def left(self) -> bool:
        """Whether the client has left, for who does not wait for its messages."""
        return "textcnn.left" in self.scope

    async def body(self) -> bytes:
        """All of it. Raises BodyTooLargeError, before reading where the length is declared, and ClientGoneError."""
        # So a client that waits for "100 Continue" sends nothing.
        if self.declared_bytes > self.max_body_bytes:
            raise self._too_large()
        message = await self.receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            body: bytes = message.get("body", b"")
            if len(body) > self.max_body_bytes:
                raise self._too_large()
            return body
        pieces: list[bytes] = []
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGoneError("The client left.")
            piece = message.get("body", b"")
            size += len(piece)
            if size > self.max_body_bytes:
                raise self._too_large()
            pieces.append(piece)
            if not message.get("more_body"):
                return b"".join(pieces)
            message = await self.receive()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes, of any length. Raises ClientGoneError."""
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError("The client left.")
            yield message.get("body", b"")
            if not message.get("more_body"):
                return

    async def gone(self) -> None:
        """Returns when the client has left. Only after the body was read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    def _too_large(self) -> BodyTooLargeError:
        return BodyTooLargeError(
            f"The body is longer than {self.max_body_bytes:,} bytes; send several smaller requests."
        )
