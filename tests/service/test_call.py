from __future__ import annotations

import pytest

from service.call import Call
from service.errors import BodyTooLargeError

JSON = {"content-type": "application/json"}


def test_a_body_of_exactly_the_limit_is_read(make_client):
    body = b'{"text": "apple"}'
    assert make_client(max_body_bytes=len(body)).post("/v1/classify", content=body, headers=JSON).status_code == 200


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
