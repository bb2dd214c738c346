from __future__ import annotations

import pytest

from service.call import Call
from service.errors import BodyTooLargeError, ClientGoneError, UnsupportedMediaTypeError
from service.keys import add_key

JSON = {"content-type": "application/json"}


def test_a_body_of_exactly_the_limit_is_read(make_client):
    body = b'{"text": "apple"}'
    assert make_client(max_body_bytes=len(body)).post("/v1/classify", content=body, headers=JSON).status_code == 200


def test_white_space_around_a_header_is_no_part_of_it(make_client, tmp_path):
    key = add_key(tmp_path / "keys", "shop", ["infer"], 0)
    given = {
        "x-request-timeout-ms": "60000", "content-type": "application/json", "content-encoding": "identity",
        "host": "testserver", "x-request-id": "mine", "authorization": f"Bearer {key}",
    }  # fmt: skip
    client = make_client(keys=tmp_path / "keys")
    for around in ("", " ", " \t "):
        headers = {name: f"{around}{value}{around}".encode() for name, value in given.items()}
        response = client.post("/v1/classify", content=b'{"text": "apple"}', headers=headers)
        assert (response.status_code, response.headers["x-request-id"]) == (200, "mine"), response.text


@pytest.mark.parametrize("header", [{"transfer-encoding": "gzip, chunked"}, {"content-encoding": "br"}])
def test_a_compressed_body_is_refused(client, header):
    response = client.post("/v1/classify", content=b'{"text": "apple"}', headers={**JSON, **header})
    assert (response.status_code, response.json()["error"]["code"]) == (415, "unsupported_media_type")


def stream():
    for _ in range(20):
        yield b" " * 10


@pytest.mark.parametrize("content", [b" " * 101, stream], ids=["declared", "streamed"])
def test_a_longer_body_is_refused_however_it_comes(make_client, content):
    body = content if isinstance(content, bytes) else content()
    response = make_client(max_body_bytes=100).post("/v1/classify", content=body, headers=JSON)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "body_too_large"
    assert "100 bytes" in response.json()["error"]["message"]


@pytest.mark.anyio
async def test_a_body_that_says_it_is_too_long_is_not_read():
    async def never():
        raise AssertionError("the body was read")

    scope = {"method": "POST", "path": "/", "headers": [(b"content-length", b"101")]}
    with pytest.raises(BodyTooLargeError):
        await Call(scope, never, max_body_bytes=100).body()


def call_of(*messages, max_body_bytes=10, query=b"", **headers) -> Call:
    """A request with these headers, whose body comes in these messages."""
    left = list(messages)

    async def receive():
        return left.pop(0)

    given = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    return Call({"method": "POST", "path": "/", "headers": given, "query_string": query}, receive, max_body_bytes)


def piece(body: bytes, *, more: bool = True) -> dict[str, object]:
    return {"type": "http.request", "body": body, "more_body": more}


GONE = {"type": "http.disconnect"}
END = {"type": "http.request"}  # as ASGI allows: all that has a default is left out


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([piece(b"1234567890", more=False)], b"1234567890"),
        ([END], b""),
        ([piece(b"12345"), piece(b""), piece(b"67890"), END], b"1234567890"),
        ([piece(b"12345"), piece(b"67890", more=False)], b"1234567890"),
    ],
)
async def test_a_body_is_all_its_pieces(messages, expected):
    assert await call_of(*messages).body() == expected
    assert b"".join([part async for part in call_of(*messages).pieces()]) == expected


@pytest.mark.anyio
@pytest.mark.parametrize("before", [[], [piece(b"12345")], [piece(b"12345"), piece(b"6")]])
async def test_what_a_client_that_left_has_sent_is_no_body(before):
    with pytest.raises(ClientGoneError):
        await call_of(*before, GONE).body()
    with pytest.raises(ClientGoneError):
        _ = [part async for part in call_of(*before, GONE).pieces()]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "messages",
    [[piece(b"12345678901", more=False)], [piece(b"123456"), piece(b"78901")], [piece(b"12345678901")]],
    ids=["at once", "in pieces", "with more to come"],
)
async def test_a_body_that_grows_too_long_is_refused_before_its_end(messages):
    with pytest.raises(BodyTooLargeError):
        await call_of(*messages).body()


@pytest.mark.anyio
async def test_whoever_waits_for_a_client_to_leave_passes_over_what_else_it_sends():
    left = [END, piece(b"more"), GONE]

    async def receive():
        return left.pop(0)

    await Call({"method": "GET", "path": "/", "headers": []}, receive, 10).gone()
    assert left == []


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (b"12", 12),
        (b"9" * 18, 10**18 - 1),
        (b"9" * 19, 0),
        (b"-1", 0),
        (b"1_0", 0),
        ("\N{SUPERSCRIPT TWO}".encode(), 0),
    ],
)
def test_a_length_is_what_is_declared_if_it_is_one(length, expected):
    assert call_of(content_length=length).declared_bytes == expected
    assert call_of().declared_bytes == 0


@pytest.mark.parametrize("given", [b"text/csv", b"Text/CSV", b"text/csv; charset=utf-8", b" text/csv ;a=b"])
def test_a_media_type_is_what_it_is_however_it_is_written(given):
    call = call_of(content_type=given, content_encoding=b"Identity", transfer_encoding=b"CHUNKED")
    assert call.media_type() == b"text/csv"
    call.need(b"text/csv")
    with pytest.raises(UnsupportedMediaTypeError, match="Send application/json, and say so in the header"):
        call.need(b"application/json")


def test_json_with_or_without_a_charset_is_json():
    for given in (b"application/json", b"application/json; charset=utf-8"):
        call_of(content_type=given).need(b"application/json")


def test_a_query_is_its_names_and_values_in_order():
    assert call_of(query=b"a=1&b=&a=%E4%FF&c").query() == [("a", "1"), ("b", ""), ("a", "\ufffd\ufffd"), ("c", "")]
    assert call_of().query() == []


def test_a_body_is_cut_where_the_connection_says_so():
    call = call_of()
    assert not call.cut
    call.scope["textcnn.cut"] = True
    assert call.cut
