"""The page in headless Chromium, as its reader has it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from textcnn import TextClassifier
from textcnn.data.readers import Examples, read_examples
from textcnn.doctor.check import Checkup
from textcnn.report.figures import report_figures
from textcnn.report.page import report_page

from ...conftest import TINY, tiny_corpus, write_csv
from .conftest import NASTY

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="session")
def figures(model: TextClassifier, examples: Examples, checkup: Checkup) -> dict[str, Any]:
    return report_figures(model, examples, examples.labels, checkup)


@contextmanager
def browser_of(figures: dict[str, Any], folder: Path, *, width: int = 1280) -> Iterator[Any]:
    """The page in a browser; at the end, nothing may have been complained of or asked for."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = folder / "report.html"
    path.write_text(report_page(figures), "utf-8")
    complaints: list[str] = []
    with api.sync_playwright() as playwright:
        # a sandbox of its own is refused to root
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        page = browser.new_page(color_scheme="dark", viewport={"width": width, "height": 800})
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: None if request.url == path.as_uri() else complaints.append(request.url))
        page.goto(path.as_uri())
        yield page
        browser.close()
    assert not [complaint for complaint in complaints if complaint != "data:,"]


def test_what_cannot_be_known_from_texts_of_one_label_is_not_drawn(model: TextClassifier, tmp_path: Path) -> None:
    texts, labels = tiny_corpus(60, seed=1)
    only = [text for text, label in zip(texts, labels, strict=True) if label == "billing"]
    examples = read_examples(write_csv(tmp_path / "only.csv", only, ["billing"] * len(only)))
    with browser_of(report_figures(model, examples, examples.labels, None), tmp_path) as page:
        shown = page.inner_text("#certainty")
        assert shown.count("It takes texts with a label and texts without it.") == 2
        assert "No need: of all answers hardly any is wrong." in shown
        assert page.locator("#labels tbody tr", has_text="repair").inner_text().split() == [
            "repair",
            "–",
            "–",
            "–",
            "0",
        ]


@pytest.fixture
def opened(figures: dict[str, Any], tmp_path: Path) -> Iterator[Any]:
    with browser_of(figures, tmp_path) as page:
        yield page


def test_the_page_holds_the_figures_and_asks_for_nothing(figures: dict[str, Any]) -> None:
    page = report_page(figures)
    held = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert held and json.loads(held[1]) == figures
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//", page)
    assert "{{" not in page


@pytest.mark.browser
def test_every_section_is_shown(opened: Any) -> None:
    heads = [head.inner_text() for head in opened.query_selector_all("h2")]
    assert heads[:5] == ["Overview", "Labels", "Confusion matrix", "Certainty", "Learning"]
    assert heads[5:] == ["Slices", "Worst mistakes", "N-grams", "Filters", "Behaviour", "Data"]
    assert len(opened.query_selector_all("svg")) >= 6
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.browser
def test_a_cell_of_the_confusion_matrix_opens_its_texts(opened: Any, figures: dict[str, Any]) -> None:
    labels = figures["labels"]
    button = opened.query_selector(f'button[title^="{labels[0]}, called {labels[1]}"]')
    button.click()
    assert NASTY in opened.inner_text("#cell"), "shown as text, not as markup"
    opened.select_option("#confusion select", label="most mistakes first")
    assert len(opened.query_selector_all("#confusion .confusion tbody tr")) == len(labels)


@pytest.mark.browser
def test_a_click_on_a_head_sorts(opened: Any) -> None:
    head = opened.query_selector("#labels th:nth-child(4)")
    for direction in ("descending", "ascending"):
        head.click()
        assert head.get_attribute("aria-sort") == direction
        shown = [float(cell.inner_text().split()[0]) for cell in opened.query_selector_all("#labels td:nth-child(4)")]
        assert shown == sorted(shown, reverse=direction == "descending")


@pytest.mark.browser
def test_each_label_has_its_n_grams_as_text(opened: Any, figures: dict[str, Any]) -> None:
    rows = opened.query_selector_all("#ngrams tbody tr")
    assert len(rows) == len(figures["ngrams"])
    for row, one in zip(rows, figures["ngrams"], strict=True):
        chips = [chip.inner_text() for chip in row.query_selector_all(".chips span")]
        assert chips == [ngram["text"] for ngram in (*one["for"], *one["against"])]


@pytest.mark.browser
def test_filters_are_found_by_their_ngrams_and_by_label(opened: Any, figures: dict[str, Any]) -> None:
    shown = figures["filters"]["shown"]
    rows = "#filters tbody tr"
    assert len(opened.query_selector_all(rows)) == len(shown) == 16
    opened.select_option("#filters select", label=shown[0]["label"])
    of_label = [one for one in shown if one["label"] == shown[0]["label"]]
    assert len(opened.query_selector_all(rows)) == len(of_label) < len(shown)
    opened.fill("#filters input", shown[0]["ngrams"][0]["text"].upper())
    assert shown[0]["ngrams"][0]["text"] in opened.inner_text(rows)
    opened.fill("#filters input", "no such words")
    assert "No filter looks for that." in opened.inner_text("#filters")


@pytest.mark.browser
def test_on_paper_colours_are_kept_and_hints_for_the_mouse_left_out(opened: Any) -> None:
    hint = opened.locator("#labels .how")
    assert hint.inner_text().strip() == "Click on a head to sort."
    opened.emulate_media(media="print")
    assert not hint.is_visible()
    for painted in ("#labels .bar", "#worst mark", "#confusion td button", "#slices .whisker b"):
        assert opened.locator(painted).first.evaluate("one => getComputedStyle(one).printColorAdjust") == "exact"


@pytest.mark.browser
def test_what_speaks_against_a_label_is_told_by_more_than_its_colour(opened: Any, figures: dict[str, Any]) -> None:
    against = [mark["adds"] <= 0 for error in figures["worst"] for mark in error["evidence"]]
    assert set(against) == {True, False}
    style = "all => all.map(one => getComputedStyle(one).borderBottomStyle === 'dashed')"
    assert opened.locator("#worst mark").evaluate_all(style) == against


@pytest.mark.browser
def test_it_turns_from_dark_to_light(opened: Any) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    before = opened.evaluate(ground)
    opened.click("#theme")
    assert opened.evaluate(ground) != before


@pytest.mark.browser
def test_nothing_hangs_over_the_edge_of_a_telephone(figures: dict[str, Any], tmp_path: Path) -> None:
    with browser_of(figures, tmp_path, width=390) as page:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.click("nav a[href='#worst']")
        top, below = (page.locator(part).bounding_box() for part in ("#worst h2", "nav"))
        assert top["y"] >= below["y"] + below["height"] - 1, "what the reader jumps to is not hidden"
        cut = "one => one.offsetWidth && one.getBoundingClientRect().right > one.closest('.card').clientWidth"
        bars = f"[...document.querySelectorAll('#labels .bar')].filter({cut}).length"
        assert page.evaluate(bars) == 0, "a bar that is cut off says nothing true"
        over = "[...document.querySelectorAll('.card')].filter(one => one.scrollWidth > one.clientWidth)"
        assert page.evaluate(f"{over}.map(one => one.textContent)") == []


@pytest.mark.browser
def test_nor_does_a_label_of_many_letters(figures: dict[str, Any], tmp_path: Path) -> None:
    written = json.dumps(figures)
    for name in figures["labels"]:
        written = written.replace(json.dumps(name), json.dumps(name + "x" * 80))
    assert "x" * 80 in written
    with browser_of(json.loads(written), tmp_path, width=360) as page:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.browser
def test_of_a_long_text_what_says_nothing_is_folded(figures: dict[str, Any], tmp_path: Path) -> None:
    error = {**figures["worst"][0], "text": "x" * 1000 + "here", "characters": 1004}
    error["evidence"] = [{"start": 1000, "end": 1004, "adds": 1.0}]
    with browser_of({**figures, "worst": [error]}, tmp_path) as page:
        assert "… 840 characters …" in page.inner_text("#worst")
        assert page.inner_text("#worst mark") == "here"
        page.click("#worst button.more")
        assert "x" * 1000 + "here" in page.inner_text("#worst")


@pytest.mark.browser
def test_one_of_several_tasks_is_shown_and_another_by_choice(figures: dict[str, Any], tmp_path: Path) -> None:
    own = {key: figures[key] for key in ("figures", "labels", "confusion", "cells", "reliability", "roc")}
    own |= {
        key: figures[key] for key in ("precision_recall", "risk_coverage", "lengths", "slices", "worst", "behaviour")
    }
    rest = {key: value for key, value in figures.items() if key not in own}
    with browser_of({**rest, "tasks": {"topic": own, "tone": own}}, tmp_path) as page:
        assert page.inner_text("h1").endswith(", topic")
        page.select_option("#task", "tone")
        assert page.inner_text("h1").endswith(", tone")
        assert [row.inner_text().split()[0] for row in page.query_selector_all("#overview tbody tr")] == [
            "topic",
            "tone",
        ]
        assert len(page.query_selector_all("h2")) == 11


@pytest.mark.browser
def test_members_have_a_curve_each(figures: dict[str, Any], tmp_path: Path) -> None:
    rows = [{"member": member, **row} for member in (1, 2) for row in figures["history"]]
    with browser_of({**figures, "history": rows, "best_epoch": None}, tmp_path) as page:
        learning = page.locator("#learning")
        assert "Curves of each of the 2 networks that answer together." in learning.inner_text()
        titles = learning.locator("svg path title").all_text_contents()
        assert titles.count("validation, member 2") == 2 and titles.count("training, member 1") == 2


def test_several_labels_a_text_have_a_page_too(examples: Examples, tmp_path: Path) -> None:
    texts, labels = tiny_corpus(60)
    many = [f"{label}|shop" if label == "billing" else label for label in labels]
    config = {**TINY, "model": {**TINY["model"], "head": {"type": "multi_label"}}}
    several = TextClassifier(config).fit(texts, many)
    with browser_of(report_figures(several, examples, examples.labels, None), tmp_path) as page:
        assert "Exactly the labels" in page.inner_text("#overview")
        assert "given wrongly" in page.inner_text("#confusion")
        assert "Probabilities are as the network gives them" in page.inner_text("#overview")
