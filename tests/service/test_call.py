from __future__ import annotations

import pytest

from service.call import Call
from service.errors import BodyTooLargeError
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
