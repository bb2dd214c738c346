"""The page as people use it, in headless Chromium; skipped without one."""

from __future__ import annotations

import csv
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
    for address in ("/playground/app.js", "/playground/style.css"):
        assert address in page.text
        assert client.get(address).status_code == 200
        assert client.get(address).headers["x-content-type-options"] == "nosniff"
    for name in ("/playground", "/playground/app.js", "/playground/style.css"):
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
    opened.wait_for_selector("article:nth-child(2)")
    first, second = (box["y"] for box in (article.bounding_box() for article in opened.locator("article").all()))
    assert first == second
    opened.keyboard.press("Tab")
    assert opened.evaluate("() => document.activeElement.textContent") == "Classify"


@pytest.mark.browser
def test_a_table_comes_back_labelled(opened, tmp_path):
    rows = [[str(number), f'a cherry, "{number}"\nand more' if number % 2 else "apple"] for number in range(450)]
    with open(tmp_path / "mails.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "text"], *rows])
    opened.set_input_files("#file", tmp_path / "mails.csv")
    opened.wait_for_selector("#column-row:not([hidden])")
    opened.click("#start")
    opened.wait_for_selector("#download:not([hidden])")
    with opened.expect_download() as download:
        opened.click("#download")
    assert download.value.suggested_filename == "mails-labelled.csv"
    with open(download.value.path(), newline="", encoding="utf-8") as file:
        header, *back = list(csv.reader(file))
    assert header == ["id", "text", "label", "probability"]
    assert [row[:2] for row in back] == rows
    assert {row[2] for row in back[1::2]} == {"cherry"}


@pytest.mark.browser
def test_a_file_that_is_no_table_is_told(opened, tmp_path):
    (tmp_path / "empty.csv").write_text("")
    opened.set_input_files("#file", tmp_path / "empty.csv")
    assert "header" in opened.locator("#table-status.error").inner_text()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_every_control_has_a_name(browser, server, scheme):
    page = browser.new_page(viewport={"width": 320, "height": 640}, color_scheme=scheme)
    page.goto(server.url + "/playground")
    page.fill("#text", "a cherry " + "x" * 200)
    page.wait_for_selector("article")
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
    page.fill("#key", key)
    page.keyboard.press("Tab")
    page.wait_for_selector("#first option", state="attached")
    page.fill("#text", "a cherry")
    page.wait_for_selector("article")
    page.close()
