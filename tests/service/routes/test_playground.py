"""The page as people use it, in headless Chromium; skipped without one."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from service.keys import add_key

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NASTY = "<img src=x onerror=alert(1)>"


def test_the_page_is_ours_alone_and_strict(client):
    page = client.get("/playground")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    assert "/playground/table.js" in client.get("/playground/app.js").text
    for address in ("/playground/app.js", "/playground/style.css", "/playground/table.js"):
        assert address in page.text or "table" in address
        assert client.get(address).status_code == 200
        assert client.get(address).headers["x-content-type-options"] == "nosniff"
    for name in ("/playground", "/playground/app.js", "/playground/table.js", "/playground/style.css"):
        assert not re.search(r"https?://", client.get(name).text)
    assert "innerHTML" not in client.get("/playground/app.js").text


def test_it_can_be_switched_off(make_client):
    assert make_client(playground=False).get("/playground").status_code == 404


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        # a sandbox of its own is refused to root
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(launch):
    return launch("--engine", "nasty").wait_until_ready()


@pytest.fixture
def opened(browser, server, tmp_path):
    """The page; at the end nothing may have been complained of, nor asked for elsewhere."""
    complaints: list[str] = []
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda request: complaints.append(request.url) if elsewhere(request.url, server.url) else None)
    page.goto(server.url + "/playground")
    page.wait_for_selector("#first option", state="attached")
    yield page
    page.close()
    assert complaints == []


def elsewhere(url: str, ours: str) -> bool:
    return not url.startswith((ours, "data:", "blob:" + ours))


@pytest.mark.browser
def test_a_text_is_labelled_and_what_decided_is_marked_in_place(opened):
    opened.fill("#text", "👍 a cherry")
    opened.wait_for_selector("article")
    assert opened.locator("tr.best th").inner_text() == "cherry"
    assert opened.locator("tr.best .number").inner_text() == "50.0 %"
    assert opened.locator("mark").all_inner_texts() == ["cherry"]
    assert opened.locator(".evidence").inner_text() == "👍 a cherry"
    assert opened.locator("#status").inner_text() == "fake/3: cherry, 50.0 %"


@pytest.mark.browser
def test_what_the_model_did_not_read_is_shown(opened):
    opened.fill("#text", "a cherry [end] of it")
    opened.wait_for_selector("article")
    assert opened.locator(".unread").all_inner_texts() == ["[end] of it"]
    assert opened.locator("mark").all_inner_texts() == ["cherry"]


@pytest.mark.browser
def test_neither_a_text_nor_a_label_becomes_part_of_the_page(opened):
    opened.fill("#text", f"{NASTY} <script>alert(2)</script>")
    opened.wait_for_selector("article")
    assert opened.locator("img").count() == 0
    assert opened.locator("tr.best th").inner_text() == NASTY


@pytest.mark.browser
def test_two_versions_are_compared_side_by_side_by_keyboard_alone(opened):
    opened.focus("#text")
    opened.keyboard.type("a cherry")
    for _ in range(2):
        opened.keyboard.press("Tab")
    opened.keyboard.press("ArrowDown")
    # in one step: an answer that comes between two would replace what was looked at
    tops = "[...document.querySelectorAll('article')].map(one => one.getBoundingClientRect().top)"
    opened.wait_for_function(f"() => {{ const [first, second] = {tops}; return second && first === second }}")
    opened.keyboard.press("Tab")
    assert opened.evaluate("() => document.activeElement.textContent") == "Classify"


def labelled(page, path) -> tuple[str, bytes]:
    """The name and the bytes of the table that comes back."""
    page.set_input_files("#file", path)
    page.wait_for_selector("#column-row:not([hidden])")
    page.click("#start")
    page.wait_for_selector("#download:not([hidden])")
    with page.expect_download() as download:
        page.click("#download")
    return download.value.suggested_filename, download.value.path().read_bytes()


def rows_of(content: bytes, encoding="utf-8", delimiter=",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(encoding), newline=""), delimiter=delimiter))


@pytest.mark.browser
def test_a_table_comes_back_labelled(opened, tmp_path):
    rows = [[str(number), f'a cherry, "{number}"\nand more' if number % 2 else "apple"] for number in range(450)]
    with open(tmp_path / "mails.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "text"], *rows])
    name, content = labelled(opened, tmp_path / "mails.csv")
    assert name == "mails-labelled.csv"
    header, *back = rows_of(content)
    assert header == ["id", "text", "label", "probability"]
    assert [row[:2] for row in back] == rows
    assert {row[2] for row in back[1::2]} == {"cherry"}


@pytest.mark.browser
def test_columns_that_are_there_stay_as_they_are(opened, tmp_path):
    (tmp_path / "t.csv").write_text(
        'text;Label;probability;predicted label\r\na cherry;x;;y\r\n;;\r\n"a;b";1;2;3;4\r\n'
    )
    header, *back = rows_of(labelled(opened, tmp_path / "t.csv")[1], delimiter=";")
    assert header == [
        "text", "Label", "probability", "predicted label", "", "predicted label 2", "predicted probability",
    ]  # fmt: skip
    assert back == [
        ["a cherry", "x", "", "y", "", "cherry", "0.5000"],
        ["", "", "", "", "", "apple", "0.5000"],
        ["a;b", "1", "2", "3", "4", "apple", "0.5000"],
    ]


@pytest.mark.browser
@pytest.mark.parametrize(
    ("encoding", "written", "name"),
    [
        ("utf-8", "utf-8", None), ("utf-8-sig", "utf-8-sig", None), ("utf-16", "utf-8-sig", None),
        ("utf-16-le", "utf-8", "UTF-16"), ("utf-16-be", "utf-8", "UTF-16, big-endian"),
        ("latin-1", "utf-8", "Latin-1 (Windows-1252)"),
    ],
)  # fmt: skip
def test_a_table_in_another_encoding_is_read_and_it_is_said(opened, tmp_path, encoding, written, name):
    (tmp_path / "t.csv").write_bytes("text,städtchen\r\na cherry é,ß\r\n".encode(encoding))
    opened.set_input_files("#file", tmp_path / "t.csv")
    opened.wait_for_selector("#column-row:not([hidden])")
    said = opened.locator("#table-status").inner_text()
    assert (f"1 row, read as {name};" in said) if name else said == "1 row"
    header, row = rows_of(labelled(opened, tmp_path / "t.csv")[1], written)
    assert (header[:2], row[:3]) == (["text", "städtchen"], ["a cherry é", "ß", "cherry"])


@pytest.mark.browser
def test_another_encoding_can_be_chosen(opened, tmp_path):
    (tmp_path / "t.csv").write_bytes("text,имя\r\na cherry,да\r\n".encode("windows-1251"))
    opened.set_input_files("#file", tmp_path / "t.csv")
    opened.wait_for_selector("#column-row:not([hidden])")
    opened.select_option("#encoding", "windows-1251")
    opened.wait_for_function("() => document.querySelector('#column').textContent.includes('имя')")


@pytest.mark.browser
def test_a_row_that_the_service_refuses_costs_no_other(opened, tmp_path):
    (tmp_path / "t.csv").write_text("text\n" + "a cherry\n" * 5 + "x" * 100_001 + "\napple\n")
    header, *back = rows_of(labelled(opened, tmp_path / "t.csv")[1])
    assert header == ["text", "label", "probability", "error"]
    assert [row[1] for row in back] == ["cherry"] * 5 + ["", "apple"]
    assert "100,001 characters" in back[5][3] and not back[4][3]
    assert "1 could not be" in opened.locator("#table-status").inner_text()


@pytest.mark.browser
def test_a_hundred_thousand_rows_leave_the_page_responsive_and_can_be_stopped(opened, tmp_path):
    with open(tmp_path / "large.csv", "w", encoding="utf-8") as file:
        file.write("text,n\n" + "".join(f'"a cherry, number {number}",{number}\n' for number in range(100_000)))
    # from the twentieth request of the table on none is answered, so that it cannot be done before it is stopped
    asked: list[Any] = []

    def hold(route: Any) -> None:
        if "texts" not in route.request.post_data_json:
            route.continue_()
        elif len(asked) < 20:
            asked.append(route)
            route.continue_()

    opened.route("**/v1/classify", hold)
    opened.set_input_files("#file", tmp_path / "large.csv")
    opened.wait_for_selector("#column-row:not([hidden])", timeout=60_000)
    assert opened.locator("#table-status").inner_text() == "100,000 rows"
    opened.focus("#start")
    opened.keyboard.press("Enter")
    opened.wait_for_function(
        "() => / of 100,000 rows, \\d+ s left/.test(document.querySelector('#table-progress').textContent)"
    )
    assert opened.evaluate("() => document.activeElement.id") == "stop"
    opened.fill("#text", "a cherry")  # the rest of the page goes on meanwhile
    opened.wait_for_selector("article")
    opened.click("#stop")
    opened.wait_for_selector("#download:not([hidden])")
    said = opened.locator("#table-status").inner_text()
    count = int(re.match(r"Stopped after ([\d,]+) of 100,000 rows: labelled", said)[1].replace(",", ""))
    with opened.expect_download() as download:
        opened.click("#download")
    assert len(rows_of(download.value.path().read_bytes())) == count + 1
    assert asked and 0 < count < 100_000


@pytest.mark.browser
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "header"), ("text\n", "header"), ('text\na\n"b\nc', "opens in row 3 is never closed"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_is_told(opened, tmp_path, content, message):
    (tmp_path / "t.csv").write_text(content)
    opened.set_input_files("#file", tmp_path / "t.csv")
    opened.wait_for_selector("#table-status.error")
    assert message in opened.locator("#table-status").inner_text()


@pytest.mark.browser
@pytest.mark.parametrize(
    ("head", "text", "said", "best", "columns"),
    [
        (
            "multi_label", "a cherry", "cherry and apple", ["cherry", "apple"],
            ["labels", "probabilities", "cherry|apple"],
        ),
        ("multi_label", "nothing", "no label", [], ["labels", "probabilities", ""]),
        (
            "multi_task", "a cherry",
            "fruit: cherry, 50.0 %, colour: no answer, best is cherry with 50.0 %", ["cherry"],
            ["fruit", "fruit probability", "colour", "colour probability", "cherry"],
        ),
        ("abstaining", "nothing", "no answer, best is apple with 50.0 %", [], ["label", "probability", ""]),
    ],
)  # fmt: skip
def test_every_kind_of_answer_is_shown(browser, launch, tmp_path, head, text, said, best, columns):
    server = launch("--engine", head).wait_until_ready()
    page = browser.new_page()
    page.goto(server.url + "/playground")
    page.wait_for_selector("#first option", state="attached")
    page.fill("#text", text)
    page.wait_for_selector("article")
    assert page.locator("#status").inner_text() == f"fake/3: {said}"
    assert page.locator("tr.best th").all_inner_texts() == best
    (tmp_path / "t.csv").write_text(f"text\n{text}\n")
    header, row = rows_of(labelled(page, tmp_path / "t.csv")[1])
    assert [*header[1:], row[1]] == columns
    page.close()
    server.kill()


@pytest.mark.browser
def test_what_was_typed_before_the_models_were_known_is_labelled(browser, server):
    page = browser.new_page()
    held = []
    page.route("**/v1/models", lambda route: held.append(route))
    page.goto(server.url + "/playground")
    page.fill("#text", "a cherry")
    page.wait_for_timeout(600)
    held[0].continue_()
    page.wait_for_selector("article")
    page.close()


@pytest.fixture(scope="module")
def several(launch, tmp_path_factory):
    """A model that reads two texts together, in two versions, and one that reads one."""
    folder = tmp_path_factory.mktemp("several")
    for version in ("pairs/1", "single/1"):
        (folder / version).mkdir(parents=True)
        (folder / version / "manifest.json").write_text("{}")
    return launch("--models", str(folder), "--model", "pairs,single", "--engine", "pairs").wait_until_ready()


@pytest.mark.browser
def test_texts_that_are_read_together_have_a_field_each_by_keyboard_alone(browser, several):
    page = browser.new_page()
    page.goto(several.url + "/playground")
    page.wait_for_selector("#text-2")
    page.focus("#text")
    page.keyboard.type("a banana")
    page.keyboard.press("Tab")
    page.keyboard.type("👍 a cherry")
    page.wait_for_function("() => document.querySelector('#status').textContent === 'pairs/1: cherry, 50.0 %'")
    assert page.locator(".evidence").all_inner_texts() == ["a banana", "👍 a cherry"]
    assert page.locator(".evidence:nth-of-type(3) mark").all_inner_texts() == ["cherry"]
    assert page.locator("mark").count() == 1
    assert page.locator("#second option").all_inner_texts() == ["nothing", "pairs/1 (live)"]
    for field in page.locator("#texts textarea").all():
        assert field.evaluate("one => one.labels.length") == 1
    page.close()


@pytest.mark.browser
def test_fields_follow_the_model_that_is_chosen_and_keep_what_was_typed(browser, several):
    page = browser.new_page()
    page.goto(several.url + "/playground")
    page.wait_for_selector("#text-2")
    page.fill("#text", "a banana")
    page.select_option("#first", "single/1")
    page.wait_for_function("() => document.querySelector('#status').textContent === 'single/1: banana, 50.0 %'")
    assert page.locator("#texts textarea").count() == 1
    assert page.locator("#texts label").inner_text() == "Text"
    page.select_option("#first", "pairs/1")
    assert page.locator("#texts label").all_inner_texts() == ["Text 1", "Text 2"]
    assert page.input_value("#text") == "a banana"
    page.close()


@pytest.mark.browser
def test_a_table_of_texts_that_are_read_together_comes_back_labelled(browser, several, tmp_path):
    (tmp_path / "t.csv").write_text("n,question,answer\n1,a banana,a cherry\n2,a cherry,a banana\n3,apple\n")
    page = browser.new_page()
    page.goto(several.url + "/playground")
    page.wait_for_selector("#text-2")
    page.set_input_files("#file", tmp_path / "t.csv")
    page.wait_for_selector("#column-row:not([hidden])")
    assert [page.input_value(place) for place in ("#column", "#column-2")] == ["1", "2"]
    header, *back = rows_of(labelled(page, tmp_path / "t.csv")[1])
    assert header == ["n", "question", "answer", "label", "probability"]
    assert [row[3] for row in back] == ["cherry", "banana", "apple"]
    page.select_option("#first", "single/1")
    assert page.locator("#columns label").all_inner_texts() == ["Column with the text"]
    page.close()


@pytest.mark.browser
def test_a_click_on_a_label_tells_what_speaks_for_it(opened):
    opened.fill("#text", "a cherry")
    opened.wait_for_selector("article")
    assert "cherry" in opened.locator(".note").inner_text()
    opened.get_by_role("button", name="apple").press("Enter")
    opened.wait_for_function("() => document.querySelector('.note').textContent.includes('(dashed) apple')")
    assert opened.get_by_role("button", name="apple").get_attribute("aria-pressed") == "true"


def answers(page, url: str, labels: list[str], ngrams: list[dict[str, Any]]) -> None:
    """Answer in the service's place: the first of `labels` for every text, because of `ngrams`."""
    model = {"name": "made", "version": "1", "aliases": ["live"], "labels": labels, "texts_per_record": 1}
    top = [{"label": label, "probability": 1 / len(labels)} for label in labels]
    explanation = {"label": labels[0], "exact": True, "method": "ngrams", "ngrams": ngrams, "unread": None}
    page.route("**/v1/models", lambda route: route.fulfill(json={"default": "made", "models": [model]}))

    def classify(route: Any) -> None:
        asked = route.request.post_data_json["top_k"]
        found = {"label": labels[0], "probability": top[0]["probability"], "top": top[:asked], "abstained": False}
        route.fulfill(json={"predictions": [found]})

    page.route("**/v1/classify", classify)
    page.route("**/v1/explain", lambda route: route.fulfill(json={"explanations": [explanation]}))
    page.goto(url + "/playground")
    page.wait_for_selector("#first option", state="attached")


@pytest.mark.browser
def test_of_many_labels_the_others_can_be_unfolded(browser, server):
    page = browser.new_page()
    answers(page, server.url, [f"label {number}" for number in range(150)], [])
    page.fill("#text", "a")
    page.wait_for_selector("article")
    assert page.locator("th:visible").count() == 8
    page.get_by_text("142 more labels").click()
    assert page.locator("th:visible").all_inner_texts()[-1] == "label 149"
    page.close()


@pytest.mark.browser
def test_text_from_right_to_left_is_shown_so_and_no_mark_cuts_what_is_one_character(browser, server):
    page = browser.new_page()
    text = "لم يصل 👍🏽 a"
    tokens = [
        {"start": 7, "end": 8, "contribution": 1.0, "text": "👍"},
        {"start": 8, "end": 9, "contribution": 0.5, "text": "🏽"},
        {"start": 10, "end": 11, "contribution": 1.0, "text": "a"},
    ]
    ngram = {"start": 7, "end": 11, "text": text[7:11], "contribution": 2.5, "tokens": tokens}
    answers(page, server.url, ["إلغاء", "b"], [ngram])
    page.fill("#text", text)
    page.wait_for_selector("article")
    for place in ("#text", ".evidence", "tr.best button"):
        assert page.locator(place).evaluate("one => getComputedStyle(one).direction") == "rtl", place
    assert page.locator("mark").all_inner_texts() == ["👍🏽", "a"]
    assert page.locator("mark").first.get_attribute("title") == "1.50"
    page.close()


@pytest.mark.browser
def test_a_service_that_is_gone_is_told_and_what_it_said_of_another_text_goes_away(browser, server):
    page = browser.new_page()
    page.goto(server.url + "/playground")
    page.wait_for_selector("#first option", state="attached")
    page.fill("#text", "a cherry")
    page.wait_for_selector("article")
    page.route("**/v1/**", lambda route: route.abort("connectionrefused"))
    page.fill("#text", "an apple")
    page.wait_for_selector("#status.error")
    assert "The service does not answer" in page.locator("#status").inner_text()
    assert page.locator("article").count() == 0
    page.unroute("**/v1/**")
    page.click("button[type=submit]")
    page.wait_for_selector("article")
    page.close()


@pytest.mark.browser
def test_a_file_dropped_beside_the_field_does_not_take_the_place_of_the_page(opened):
    refused = opened.evaluate(
        """() => ["dragover", "drop"].map((kind) => {
            const event = new Event(kind, { bubbles: true, cancelable: true });
            document.querySelector("h1").dispatchEvent(event);
            return event.defaultPrevented;
        })"""
    )
    assert refused == [True, True]


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_every_control_has_a_name(browser, server, scheme, tmp_path):
    page = browser.new_page(viewport={"width": 320, "height": 640}, color_scheme=scheme)
    page.goto(server.url + "/playground")
    page.fill("#text", "a cherry " + "x" * 200)
    page.wait_for_selector("article")
    (tmp_path / "t.csv").write_text("text and a very long name of a column,b\na,b\n")
    page.set_input_files("#file", tmp_path / "t.csv")
    page.wait_for_selector("#column-row:not([hidden])")
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    for control in page.locator("input, select, textarea, button").all():
        assert control.evaluate("one => one.labels?.length || one.textContent.trim()")
    page.close()


@pytest.mark.browser
def test_a_service_with_keys_asks_for_one(browser, launch, tmp_path):
    key = add_key(tmp_path / "keys", "me", ["infer"], 0)
    server = launch("--keys", str(tmp_path / "keys")).wait_until_ready()
    page = browser.new_page()
    page.goto(server.url + "/playground")
    page.wait_for_selector("#status.error")
    assert "key" in page.locator("#status").inner_text()
    page.fill("#key", "tc_wrong")
    page.keyboard.press("Tab")
    page.wait_for_function("() => document.querySelector('#status').textContent.includes('does not take this key')")
    page.fill("#key", key)
    page.keyboard.press("Tab")
    page.wait_for_selector("#first option", state="attached")
    page.fill("#text", "a cherry")
    page.wait_for_selector("article")
    page.close()


def test_the_address_alone_leads_to_the_page(client, make_client):
    answer = client.get("/", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/playground")
    assert make_client(playground=False).get("/").status_code == 404
