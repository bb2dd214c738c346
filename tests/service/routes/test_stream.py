from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import httpx
import pytest

from service.call import Call
from service.routes.stream import Blocks
from textcnn.types import LabelScore, Prediction

from ...patience import PATIENCE
from ..conftest import free_port

NDJSON = {"content-type": "application/x-ndjson"}
PATH = "/v1/classify/stream"


def ask(client, content, **query):
    response = client.post(PATH, content=content, headers=NDJSON, params=query)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def test_each_line_is_answered_in_its_place(client):
    lines = ask(client, b'"a cherry"\n\n{"text": "banana", "id": "x"}\r\n{"id": [1], "text": "apple"}')
    assert [(line["line"], line.get("id"), line["label"]) for line in lines] == [
        (1, None, "cherry"),
        (3, "x", "banana"),
        (4, [1], "apple"),
    ]
    assert lines[0]["top"] == [{"label": "cherry", "probability": 0.5}]


BEST = (LabelScore("cherry", 0.5),)
HEADS = {
    "one label": Prediction(BEST),
    "many labels": Prediction(BEST, labels=BEST),
    "no label": Prediction(BEST, labels=()),
    "a tree": Prediction(BEST, levels=(LabelScore("fruit", 0.75),)),
    "abstained": Prediction(BEST, abstained=True),
    "tasks": Prediction(
        (LabelScore("angry", 0.5),), tasks={"mood": Prediction((LabelScore("angry", 0.5),)), "topic": Prediction(BEST)}
    ),
}


@pytest.mark.parametrize("head", HEADS)
def test_a_text_is_answered_alike_as_a_string_as_an_object_and_alone(make_client, classifier, monkeypatch, head):
    monkeypatch.setattr(classifier, "classify", lambda texts, *, top_k=1: [HEADS[head]] * len(texts))
    if head not in ("one label", "abstained"):
        monkeypatch.setattr(classifier, "rank", lambda texts, *, top_k=1: None)
    if head == "tasks":
        monkeypatch.setattr(classifier, "labels", ("mood=angry", "topic=cherry"))
    client = make_client()
    alone = client.post("/v1/classify", json={"text": "a"}).json()["predictions"]
    assert ask(client, b'"a"') == ask(client, b'{"text": "a"}') == [{"line": 1, **alone[0]}]


def test_a_line_that_cannot_be_used_gets_an_error_and_the_rest_go_on(make_client):
    lines = [
        b'"apple"',
        b"{",
        b"3",
        b'{"text": 1, "id": 7}',
        b'{"texts": []}',
        b'{"text": "a", "text": "b"}',
        b'"\\ud800"',
        b'"boom"',
        b"\xff",
        b'"xyxyxyxyxyx"',
    ]
    answers = ask(make_client(max_text_chars=10), b"\n".join(lines) + b'\n"cherry"\n')
    codes = [answer.get("error", {}).get("code") for answer in answers]
    assert codes == [
        None, "invalid_json", "invalid_request", "invalid_request", "invalid_request", "invalid_json",
        "invalid_json", "internal_error",
        "invalid_json", "invalid_request", None,
    ]  # fmt: skip
    assert answers[3]["id"] == 7
    assert answers[-1]["label"] == "cherry"


def test_a_line_without_end_is_given_up_and_the_next_is_answered(launch):
    def pieces():
        for _ in range(100):
            yield b"x" * 1000
        yield b'\n"cherry"\n'

    url = launch("--max-text-chars", "10").wait_until_ready().url
    with httpx.Client(base_url=url, timeout=60) as client:
        answers = ask(client, pieces())
    assert [answer["line"] for answer in answers] == [1, 2]
    assert "bytes" in answers[0]["error"]["message"]
    assert answers[1]["label"] == "cherry"


def test_lines_may_be_cut_anywhere(client):
    content = ("\n".join(json.dumps(f"cherry {number} é") for number in range(50)) + "\n").encode()
    answers = ask(client, (content[start : start + 7] for start in range(0, len(content), 7)))
    assert [answer["line"] for answer in answers] == list(range(1, 51))


def test_options_are_in_the_query(client):
    assert len(ask(client, b'"a"', top_k=2)[0]["top"]) == 2
    assert ask(client, b'"a"', threshold=0.9)[0]["label"] is None
    assert ask(client, b'"a"', model="fake/3")[0]["label"] == "apple"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("top_k=0", 422), ("top_k=x", 422), ("top_k=4", 422), ("top_k=", 422), ("threshold=2", 422),
        ("threshold=nan", 422), ("model=none", 404), ("more=1", 422), ("top_k=1&top_k=2", 422), ("%ff=%ff", 422),
    ],
)  # fmt: skip
def test_a_query_that_cannot_be_used_is_refused_before_anything_is_read(client, query, status):
    assert client.post(f"{PATH}?{query}", content=b'"a"', headers=NDJSON).status_code == status


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", ""])
def test_only_ndjson_is_read(client, media_type):
    assert client.post(PATH, content=b'"a"', headers={"content-type": media_type}).status_code == 415


def test_nothing_in_gives_nothing_out(client):
    assert ask(client, b"") == ask(client, b"\n\n") == []


def test_a_stream_longer_than_any_body_is_answered_while_it_is_sent(launch):
    """On a real server: a client that does not read yet must not fill the memory of either."""
    server = launch("--max-body-bytes", "1000").wait_until_ready()
    count = 20_000

    def pieces():
        for number in range(0, count, 100):
            yield "".join(f'{{"text": "banana", "id": {number + place}}}\n' for place in range(100)).encode()

    with httpx.stream("POST", server.url + PATH, content=pieces(), headers=NDJSON, timeout=PATIENCE) as response:
        ids = [json.loads(line)["id"] for line in response.iter_lines()]
    assert ids == list(range(count))


HEAD = b"POST /v1/classify/stream HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-ndjson\r\n"


class Talk:
    """A stream over a plain socket: lines are sent, and answers awaited, whenever the test says."""

    def __init__(self, server):
        self.socket = socket.create_connection(("127.0.0.1", urlsplit(server.url).port), timeout=PATIENCE)
        self.socket.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        self.received = b""

    def send(self, *lines: str):
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        self.socket.sendall(b"%x\r\n%b\r\n" % (len(body), body))

    def answers(self, count: int | None = None):
        """As soon as there are so many; without a number, all until the server closes."""
        while count is None or len(self._lines()) < count:
            part = self.socket.recv(65536)
            if not part:
                break
            self.received += part
        return self._lines()

    def _lines(self):
        # the framing of chunks stands on lines of its own
        return [json.loads(line) for line in self.received.split(b"\n") if line.startswith(b"{")]


@pytest.fixture
def talks():
    with ExitStack() as stack:

        def talk(server):
            talk = Talk(server)
            stack.enter_context(talk.socket)
            return talk

        yield talk


def test_a_line_is_answered_though_the_next_does_not_come(launch, talks):
    talk = talks(launch().wait_until_ready())
    for number, name in enumerate(["cherry", "banana", "apple"], 1):
        talk.send(name)
        assert talk.answers(number)[-1]["label"] == name


def test_a_service_that_stops_answers_the_lines_that_came_and_says_so(start, talks):
    server = start("--drain-seconds", "0.1").wait_until_ready()
    talk = talks(server)
    talk.send("cherry", "banana")
    talk.socket.sendall(b'5\r\n"appl\r\n')  # half a line
    talk.answers(1)
    server.process.send_signal(signal.SIGTERM)
    with suppress(OSError):
        while server.process.poll() is None:
            talk.socket.sendall(b"1\r\nx\r\n")  # it goes on, as if nothing were
            time.sleep(0.02)
    *answers, last = talk.answers()
    code, log = server.ended()
    assert [(line["line"], line["label"]) for line in answers] == [(1, "cherry"), (2, "banana")]
    assert (last["line"], last["error"]["code"]) == (3, "not_ready")
    assert talk.received.endswith(b"0\r\n\r\n")
    assert code == 0
    assert "rror" not in log and "Traceback" not in log


def test_a_stream_that_ended_before_the_service_stops_has_no_such_line(start, talks):
    server = start("--drain-seconds", "0.1").wait_until_ready()
    talk = talks(server)
    talk.send("cherry")
    talk.socket.sendall(b"0\r\n\r\n")
    server.process.send_signal(signal.SIGTERM)
    assert [line["line"] for line in talk.answers()] == [1]
    assert server.ended()[0] == 0


def test_a_client_that_does_not_know_answers_without_a_length_is_told(launch):
    address = urlsplit(launch().wait_until_ready().url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as client:
        head = HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"content-length: 4\r\n\r\n"
        client.sendall(head + b'"a"\n')
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 422 ") and b"proxy_http_version 1.1" in answer
    assert b"chunked" not in answer


@pytest.mark.anyio
@pytest.mark.parametrize("more", [True, False], ids=["while it sends", "while it is answered"])
async def test_of_a_client_that_left_nothing_is_begun_that_was_not(more):
    messages = [{"type": "http.request", "body": b'"a"\n' * 10, "more_body": more}, {"type": "http.disconnect"}]

    async def receive():
        return messages.pop(0)

    call = Call({"method": "POST", "path": PATH, "headers": []}, receive, 1000)
    told = []
    blocks = Blocks(call, longest=100, room=lambda: 1000, gone=lambda: told.append("gone"))
    await blocks.read()
    assert await blocks.next() is None
    assert blocks.client_left and told == ["gone"]


def blocks_of(*pieces, **limits):
    """Blocks of a request whose body comes in these pieces, and the pieces that were not read yet."""
    left = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    left[-1]["more_body"] = False
    left.append({"type": "http.disconnect"})

    async def receive():
        return left.pop(0)

    call = Call({"method": "POST", "path": PATH, "headers": []}, receive, 1000)
    return Blocks(call, **{"longest": 100, "room": lambda: 10_000} | limits), left


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.anyio
async def test_no_more_is_read_while_lines_that_were_read_are_not_taken():
    too_long = [b"x" * 150, b'\n"a"\n'] * 50
    for pieces, limits in (([b'"%b"\n' % (b"x" * 70)] * 100, {"room": lambda: 200}), (too_long, {})):
        blocks, left = blocks_of(*pieces, **limits)
        reading = asyncio.ensure_future(blocks.read())
        await settle()
        waiting = len(left)
        assert waiting > 90
        assert await blocks.next() is not None
        await settle()
        assert len(left) < waiting
        reading.cancel()


@pytest.mark.anyio
async def test_a_block_has_no_more_lines_than_the_model_does_in_its_time():
    blocks, _ = blocks_of(b"1\n" * 1000, room=lambda: 640)
    reading = asyncio.ensure_future(blocks.read())
    await settle()
    first, second = blocks.take(), blocks.take()
    assert (first.content, first.first, first.lines) == (b"\n".join([b"1"] * 10), 1, 10)
    assert (second.first, second.lines) == (11, 10)
    reading.cancel()


@pytest.mark.anyio
async def test_a_line_that_never_ends_takes_no_memory():
    blocks, left = blocks_of(*[b"x" * 60] * 200, b"\n")
    reading = asyncio.ensure_future(blocks.read())
    await settle()
    assert (await blocks.next()).too_long
    while len(left) > 2:
        await settle()
    assert len(blocks._pieces) <= 1
    reading.cancel()


def test_a_service_that_stops_does_not_wait_for_lines_whose_client_left(start, talks):
    server = start("--engine", "slow", "--drain-seconds", "0.1").wait_until_ready()
    talk = talks(server)
    talk.send("banana")
    talk.answers(1)
    talk.send(*["wait"] * 3)  # the model keeps these for ever
    time.sleep(0.3)
    talk.socket.close()
    code, log = server.stop()
    assert code == 0
    assert "Traceback" not in log and "xception" not in log


def test_a_client_that_does_not_read_is_left_behind_when_the_service_stops(start, talks):
    server = start("--drain-seconds", "0.1").wait_until_ready()
    talk = talks(server)
    talk.socket.setblocking(False)
    body = b'"cherry"\n' * 20_000
    with suppress(BlockingIOError):
        while True:
            talk.socket.send(b"%x\r\n%b\r\n" % (len(body), body))
    code, log = server.stop()  # while the client holds on
    assert code == 0
    assert "broken" in log and "Traceback" not in log and "xception" not in log


def test_a_stream_is_answered_to_its_end_by_the_version_that_it_began_with(start, launch_folder, talks):
    """Even where another took its place and was freed meanwhile, while nothing of the stream was under way."""
    port = free_port()
    server = start("--admin-port", str(port)).wait_until_ready()
    (launch_folder / "models" / "fake" / "4").mkdir()
    (launch_folder / "models" / "fake" / "4" / "manifest.json").write_text("{}")
    talk = talks(server)
    talk.send("cherry")
    talk.answers(1)
    plan = httpx.put(f"http://127.0.0.1:{port}/admin/models/fake/plan", json={"aliases": {"live": "4"}})
    assert plan.status_code == 200
    talk.send("banana")
    assert [line["label"] for line in talk.answers(2)] == ["cherry", "banana"]
