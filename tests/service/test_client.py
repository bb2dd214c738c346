from __future__ import annotations

import inspect
import subprocess
import sys

import httpx
import pytest

from service.client import AsyncClient, Client, ServiceError, TextFailedError
from service.keys import add_key


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """Instead of waiting."""
    waited: list[float] = []

    async def sleep(seconds):
        waited.append(seconds)

    monkeypatch.setattr("service.client.time.sleep", waited.append)
    monkeypatch.setattr("service.client.asyncio.sleep", sleep)
    return waited


def good(request: httpx.Request) -> httpx.Response:
    best = {"label": "a", "probability": 1.0}
    body = {"model": "m", "version": "1", "request_id": "r", "predictions": [{**best, "top": [best]}]}
    return httpx.Response(200, json=body)


def refusal(status: int, **headers: str) -> httpx.Response:
    error = {"code": "overloaded", "message": "Later.", "request_id": "r-9"}
    return httpx.Response(status, json={"error": error}, headers=headers)


def client_of(*answers, **options) -> Client:
    """A client that gets these answers in turn, the last for ever."""
    remaining = list(answers)

    def answer(request):
        one = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        if isinstance(one, Exception):
            raise one
        return one(request) if callable(one) else one

    return Client("http://service", transport=httpx.MockTransport(answer), **options)


@pytest.fixture(scope="module")
def service(launch, tmp_path_factory):
    keys = tmp_path_factory.mktemp("keys") / "keys"
    key = add_key(keys, "test", ["infer"], 0)
    return launch("--keys", str(keys)).wait_until_ready().url, key


def test_a_running_service_is_asked(service):
    url, key = service
    with Client(url, key=key) as client:
        assert client.classify("a cherry").label == "cherry"
        assert len(client.classify("a cherry", top_k=3).top) == 3
        assert client.classify("a cherry", threshold=0.9).label is None
        assert [one.label for one in client.classify_many(["banana", "cherry"], model="fake/3")] == ["banana", "cherry"]
        many = client.classify_all((f"cherry {number}" for number in range(10)), batch=3)
        assert [one.label for one in many] == ["cherry"] * 10
        assert client.models()[0].labels == ["apple", "banana", "cherry"]


@pytest.mark.anyio
async def test_a_running_service_is_asked_from_asyncio(service):
    url, key = service
    async with AsyncClient(url, key=key) as client:
        assert (await client.classify("a cherry")).label == "cherry"
        assert [one.label async for one in client.classify_all(["banana"] * 5, batch=2)] == ["banana"] * 5
        assert (await client.models())[0].name == "fake"
        with pytest.raises(ServiceError, match="unknown_model"):
            await client.classify("a", model="none")


def test_what_the_service_refuses_is_an_error_with_its_words(service):
    url, key = service
    with Client(url, key="wrong") as stranger, pytest.raises(ServiceError, match="401 unauthorized"):
        stranger.classify("a")
    with Client(url, key=key) as client:
        with pytest.raises(ServiceError, match=r"top_k is 9.*\(422 invalid_request, request") as caught:
            client.classify("a", top_k=9)
        assert (caught.value.status, caught.value.code) == (422, "invalid_request")
        with pytest.raises(TextFailedError, match="text 1: The model failed") as failed:
            client.classify_many(["a", "boom"])
        assert failed.value.position == 1


def test_it_waits_as_long_as_it_is_told_and_tries_again(pauses):
    answers = (refusal(429, **{"retry-after": "7"}), refusal(503, **{"retry-after": "1"}), good)
    assert client_of(*answers).classify("x").label == "a"
    assert pauses == [7, 1]


def test_without_a_word_it_waits_longer_each_time(pauses):
    with pytest.raises(ServiceError, match="503"):
        client_of(refusal(503), retries=3).classify("x")
    assert len(pauses) == 3
    assert all(0.5 * 0.2 * 2**turn <= pause <= 1.5 * 0.2 * 2**turn for turn, pause in enumerate(pauses))


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 500, 504])
def test_what_another_try_would_not_change_is_not_tried_again(pauses, status):
    with pytest.raises(ServiceError) as caught:
        client_of(refusal(status), good).classify("x")
    assert caught.value.status == status
    assert pauses == []


def test_a_broken_connection_is_tried_again(pauses):
    assert client_of(httpx.ConnectError("refused"), good).classify("x").label == "a"
    with pytest.raises(ServiceError, match="no answer: refused") as caught:
        client_of(httpx.ConnectError("refused"), retries=1).classify("x")
    assert caught.value.status == 0


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(200, text="<html>"), httpx.Response(502, text="Bad Gateway"), httpx.Response(404, json=[])],
)
def test_the_answer_of_somebody_else_is_an_error(answer):
    with pytest.raises(ServiceError, match="not one of this service"):
        client_of(answer, retries=0).classify("x")


def test_both_clients_offer_the_same():
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if not name.startswith("_"):
            other = inspect.signature(getattr(AsyncClient, name))
            assert inspect.signature(method).parameters == other.parameters, name


def test_the_client_needs_no_server():
    code = "import service.client, sys; print({'uvicorn', 'fastapi', 'torch', 'numpy', 'orjson'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
