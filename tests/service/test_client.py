from __future__ import annotations

import asyncio
import inspect
import json
import socket
import ssl
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from service.client import BATCH_BYTES, AsyncClient, Client, ServiceError, TextFailedError, _parts
from service.keys import add_key
from service.schemas import TextFailure

from ..patience import PATIENCE, until
from .conftest import free_port


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """Instead of waiting; what threads of one test are still to do is not counted in the next."""
    waited: list[float] = []
    before = set(threading.enumerate())

    async def sleep(seconds):
        waited.append(seconds)

    monkeypatch.setattr("service.client.time.sleep", waited.append)
    monkeypatch.setattr("service.client.asyncio.sleep", sleep)
    yield waited
    monkeypatch.undo()
    until(lambda: set(threading.enumerate()) <= before, "the end of the test's own threads")


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
    feedback = tmp_path_factory.mktemp("feedback")
    patient = ("--max-wait-ms", "600000")  # on a busy machine nobody is refused: the tries here take no time
    return launch("--keys", str(keys), "--feedback", str(feedback), *patient).wait_until_ready().url, key, feedback


def test_a_running_service_is_asked(service):
    url, key, _ = service
    with Client(url, key=key) as client:
        assert client.classify("a cherry").label == "cherry"
        assert len(client.classify("a cherry", top_k=3).top) == 3
        assert client.classify("a cherry", threshold=0.9).label is None
        assert [one.label for one in client.classify_many(["banana", "cherry"], model="fake/3")] == ["banana", "cherry"]
        many = client.classify_all((f"cherry {number}" for number in range(10)), batch=3)
        assert [one.label for one in many] == ["cherry"] * 10
        assert client.models()[0].labels == ["apple", "banana", "cherry"]
        assert client.explain("a cherry", top_n=3).ngrams[0].text == "cherry"
        assert [one.label for one in client.explain_many(["a cherry", "b"], label="apple")] == ["apple", "apple"]
        assert client.classify("a cherry", explain=True).explanation.exact


def test_feedback_is_kept(service):
    url, key, folder = service
    with Client(url, key=key) as client:
        client.feedback("late 😀", "delivery", predicted="billing")
    (file,) = folder.iterdir()
    kept = json.loads(file.read_text().splitlines()[-1])
    assert (kept["text"], kept["label"], kept["predicted"]) == ("late 😀", "delivery", "billing")


def test_a_stream_has_an_answer_for_every_text_in_its_place(service):
    url, key, _ = service
    texts = ["a cherry", "boom", "\ud800", "x" * 100_001, "banana\n", "", *["cherry"] * 1000]
    with Client(url, key=key) as client:
        answers = list(client.stream(texts))
        assert len(answers) == len(texts)
        assert [type(one).__name__ for one in answers[:6]] == [
            "TextPrediction", "TextFailure", "TextFailure", "TextFailure", "TextPrediction", "TextPrediction",
        ]  # fmt: skip
        assert {one.label for one in answers[6:]} == {"cherry"}
        assert len(next(client.stream(["a"], top_k=3)).top) == 3
        assert list(client.stream([])) == []
        with pytest.raises(TextFailedError, match="text 1: ") as failed:
            list(client.classify_all(texts))
        assert failed.value.position == 1


def test_a_stream_takes_no_more_than_a_few_requests_ahead(service):
    url, key, _ = service
    taken = 0

    def without_end():
        nonlocal taken
        while True:
            taken += 1
            yield "a cherry"

    with Client(url, key=key) as client:
        answers = client.stream(without_end(), batch=10)
        for _ in range(25):
            assert next(answers).label == "cherry"
        answers.close()
    assert taken < 25 + 10 * 6


def test_a_stream_that_is_let_go_in_one_of_its_own_threads_ends_without_a_word(monkeypatch):
    """The collector of garbage runs in any thread."""
    held, heard = [], []
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    begun, let_go, gone = threading.Event(), threading.Event(), threading.Event()

    def answer(request):
        if b"first" in request.content:
            begun.wait(PATIENCE)
        elif not begun.is_set():
            begun.set()
            let_go.wait(PATIENCE)
            held.clear()
            gone.set()
        score = {"label": "a", "probability": 1.0}
        return httpx.Response(200, content=json.dumps({**score, "top": [score]}))

    client = Client("http://service", transport=httpx.MockTransport(answer))
    held.append(client.stream(["first", *"abcdefgh"], batch=1))
    assert next(held[0]).label == "a"
    let_go.set()
    assert gone.wait(PATIENCE)
    assert heard == []


def test_closing_waits_for_what_threads_of_a_stream_have_asked():
    """A connection that one of them made later would stay open."""
    asked, may_answer, left = threading.Event(), threading.Event(), []

    class Slow(httpx.BaseTransport):
        under_way = 0

        def handle_request(self, request):
            self.under_way += 1
            if b"first" in request.read():
                asked.wait(PATIENCE)
            else:
                asked.set()
                may_answer.wait(PATIENCE)
            self.under_way -= 1
            score = {"label": "a", "probability": 1.0}
            return httpx.Response(200, json={**score, "top": [score]})

        def close(self):
            left.append(self.under_way)

    client = Client("http://service", transport=Slow())
    answers = client.stream(["first", "second"], batch=1)
    assert next(answers).label == "a"
    assert asked.wait(PATIENCE)
    answers.close()
    threading.Timer(0.05, may_answer.set).start()
    client.close()
    assert left == [0]


def test_a_request_of_a_stream_has_so_many_texts_and_so_many_bytes_and_no_more():
    assert [len(lines) for lines in _parts(["a"] * 7, 3)] == [3, 3, 1]
    text = "a" * (BATCH_BYTES // 4 - 3)  # and quotes and a line break
    assert [len(lines) for lines in _parts([text] * 9, 100)] == [4, 4, 1]
    assert [len(lines) for lines in _parts([text] * 3 + [text + "b"], 100)] == [3, 1]
    long = "a" * (BATCH_BYTES + 1)
    assert [len(lines) for lines in _parts(["a", long, long, "a", "b"], 100)] == [1, 1, 1, 2]
    assert list(_parts([], 3)) == []


@pytest.mark.anyio
async def test_what_a_stream_that_is_closed_has_asked_is_given_up():
    given_up = asyncio.Event()
    asked = asyncio.Event()

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            if b"second" in await request.aread():
                asked.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    given_up.set()
            await asked.wait()
            score = {"label": "a", "probability": 1.0}
            return httpx.Response(200, json={**score, "top": [score]})

    async with AsyncClient("http://service", transport=Slow()) as client, asyncio.timeout(PATIENCE):
        answers = client.stream(["first", "second"], batch=1)
        assert (await anext(answers)).label == "a"
        await answers.aclose()
        await given_up.wait()


def test_large_answers_to_a_stream_are_taken_while_it_is_sent(service):
    url, key, _ = service
    with Client(url, key=key, timeout=20) as client:
        assert sum(len(one.top) for one in client.stream(["y" * 3000] * 2000, top_k=3)) == 6000


@pytest.mark.anyio
async def test_a_running_service_is_asked_from_asyncio(service):
    url, key, _ = service
    async with AsyncClient(url, key=key) as client:
        assert (await client.classify("a cherry")).label == "cherry"
        assert [one.label async for one in client.classify_all(["banana"] * 5, batch=2)] == ["banana"] * 5
        assert (await client.models())[0].name == "fake"
        assert (await client.explain("a cherry")).label == "cherry"
        await client.feedback("late", "delivery")

        async def texts():
            for number in range(700):
                yield "boom" if number == 500 else f"banana {number}"

        answers = [one async for one in client.stream(texts())]
        assert [number for number, one in enumerate(answers) if isinstance(one, TextFailure)] == [500]
        with pytest.raises(TextFailedError) as failed:
            _ = [one async for one in client.classify_all(texts())]
        assert failed.value.position == 500
        with pytest.raises(ServiceError, match="unknown_model"):
            await client.classify("a", model="none")


def test_what_the_service_refuses_is_an_error_with_its_words(service):
    url, key, _ = service
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


def test_a_date_in_retry_after_is_understood_and_longer_than_it_waits_is_not_waited_for(pauses):
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    assert client_of(refusal(503, **{"retry-after": when}), good).classify("x").label == "a"
    assert 15 < pauses.pop() <= 20
    with pytest.raises(ServiceError) as caught:
        client_of(refusal(429, **{"retry-after": "3600"}), good).classify("x")
    assert (caught.value.retry_after, pauses) == (3600, [])


def test_what_a_newer_service_says_beyond_our_words_is_passed_over():
    def newer(request):
        body = json.loads(good(request).content)
        body["predictions"][0] |= {"mood": "good", "top": [{"label": "a", "probability": 1.0, "rank": 1}]}
        return httpx.Response(200, json={**body, "cost": {"units": 3}})

    assert client_of(newer).classify("x").top[0].label == "a"
    error = {"code": "out_of_paper", "message": "No.", "request_id": "r", "help": "https://help"}
    with pytest.raises(ServiceError, match="No. .418 out_of_paper") as caught:
        client_of(httpx.Response(418, json={"error": error})).classify("x")
    assert caught.value.code == "out_of_paper"


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
    assert client_of(httpx.ReadError("reset"), good).classify("x").label == "a"
    with pytest.raises(ServiceError, match="no answer: reset") as caught:
        client_of(httpx.ReadError("reset"), retries=1).classify("x")
    assert caught.value.status == 0
    assert len(pauses) == 2
    with pytest.raises(ServiceError, match="no answer: ReadTimeout "):
        client_of(httpx.ReadTimeout(""), retries=0).classify("x")


def loading(**headers: str) -> httpx.Response:
    error = {"code": "not_ready", "message": "Loading.", "request_id": "r-9"}
    return httpx.Response(503, json={"error": error}, headers=headers)


def test_a_service_that_is_starting_is_waited_for_however_often_it_has_to_be_asked(pauses):
    starting = [httpx.ConnectError("refused")] * 10 + [loading(**{"retry-after": "1"})] * 10
    assert client_of(*starting, good, retries=0).classify("x").label == "a"
    assert len(pauses) == 20
    assert pauses[10:] == [1] * 10
    assert sum(pauses) < 30


def test_a_service_is_waited_for_as_long_as_is_said_be_it_half_an_hour(pauses):
    with pytest.raises(ServiceError, match="unreachable"):
        client_of(httpx.ConnectError("refused"), wait=2000.0).classify("x")
    assert sum(pauses) > 1990
    pauses.clear()
    with pytest.raises(ServiceError, match="429"):
        client_of(refusal(429), retries=1100).classify("x")
    assert len(pauses) == 1100 and 15 <= max(pauses) <= 45


@pytest.mark.parametrize("answer", [httpx.ConnectError("refused"), loading(), loading(**{"retry-after": "3"})])
def test_a_service_that_does_not_start_is_waited_for_no_longer_than_is_said(pauses, answer):
    with pytest.raises(ServiceError):
        client_of(answer, wait=7.0, retries=3).classify("x")
    assert 5.0 < sum(pauses) <= 7.0
    pauses.clear()
    with pytest.raises(ServiceError):
        client_of(answer, wait=0.0).classify("x")
    assert pauses == []


def test_waiting_for_the_start_takes_no_try_away(pauses):
    answers = (refusal(429), httpx.ConnectError("refused"), refusal(429), loading(), refusal(429))
    assert client_of(*answers, good, retries=3).classify("x").label == "a"
    with pytest.raises(ServiceError, match="429"):
        client_of(*answers, good, retries=2).classify("x")


@pytest.mark.parametrize("cause", [socket.gaierror("no such name"), ssl.SSLError("no such authority")])
def test_a_name_or_certificate_that_is_wrong_is_not_waited_for(pauses, cause):
    """Of httpx's errors only their cause tells it from a service that does not listen yet."""

    def answer(request):
        raise httpx.ConnectError("no connection") from cause

    with pytest.raises(ServiceError, match="unreachable"):
        client_of(answer, retries=0).classify("x")
    assert pauses == []


@pytest.mark.anyio
async def test_nobody_listening_is_told_from_other_failures_by_both_clients(pauses):
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url, retries=0, wait=2.0) as client, pytest.raises(ServiceError, match="unreachable"):
        client.classify("x")
    assert pauses
    pauses.clear()
    async with AsyncClient(url, retries=0, wait=2.0) as other:
        with pytest.raises(ServiceError, match="unreachable"):
            await other.classify("x")
    assert pauses


def test_a_client_may_be_there_before_its_service(start, monkeypatch):
    server = start()
    monkeypatch.setattr("service.client.time.sleep", threading.Event().wait)
    with Client(server.url, wait=PATIENCE) as client:
        assert client.classify("a cherry").label == "cherry"


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
            ours = inspect.signature(method).parameters
            assert [(one.name, one.kind, one.default) for one in ours.values()] == [
                (one.name, one.kind, one.default) for one in other.parameters.values()
            ], name


def test_the_client_needs_no_server():
    code = "import service.client, sys; print({'uvicorn', 'fastapi', 'torch', 'numpy', 'orjson'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
