from __future__ import annotations

import numpy as np
import pytest

from textcnn.doctor.findings import Finding
from textcnn.doctor.table import Table
from textcnn.doctor.texts import _languages, script, text_findings


def table(*texts: str) -> Table:
    return Table(texts, ["a"] * len(texts), np.arange(len(texts)) + 2)


def found(data: Table, test: Table | None = None) -> dict[str, Finding]:
    return {finding.kind: finding for finding in text_findings(data, test)}


def test_lengths_are_counted_in_tokens() -> None:
    findings = found(table("one", "one two", "one two three"))
    assert findings["lengths"].figures["percentiles"]["50"] == 2
    assert "truncated" not in findings


def test_texts_longer_than_is_read_are_named() -> None:
    truncated = found(table("short", "long " * 1001))["truncated"]
    assert [(suspect.row, suspect.detail) for suspect in truncated.suspects] == [(3, "1,001 tokens")]


def test_the_share_of_unknown_words_is_that_of_words_seen_once() -> None:
    data = table("a a b", "c a b")
    assert found(data)["unknown_words"].figures == {"expected": pytest.approx(1 / 6)}
    assert found(data, table("a x y z"))["unknown_words"].figures["test"] == 0.75


@pytest.mark.parametrize(
    ("character", "name"), [("a", "LATIN"), ("ж", "CYRILLIC"), ("中", "HAN"), ("の", "HAN"), ("5", ""), ("!", "")]
)
def test_letters_have_a_script(character: str, name: str) -> None:
    assert script(character) == name


def test_texts_in_another_script_are_named() -> None:
    scripts = found(table("my parcel", "где посылка?", "über alles", "the word мир alone"))["scripts"]
    assert [suspect.row for suspect in scripts.suspects] == [3]
    assert "scripts" not in found(table("one", "two"))


@pytest.mark.parametrize("text", ["cafÃ© noir", "it\u00e2\u20ac\u2122s", "broken \ufffd text"])
def test_damaged_characters_are_named(text: str) -> None:
    assert [suspect.row for suspect in found(table("café, it’s fine", text))["damaged_characters"].suspects] == [3]


def test_markup_is_named() -> None:
    assert [suspect.row for suspect in found(table("a < b", "fine<br />so", "a &amp; b"))["markup"].suspects] == [3, 4]


def test_what_few_texts_have_is_a_note_and_what_many_have_a_warning() -> None:
    tags = table(*["fine<br />so"] * 5, *["fine"] * 90)
    assert found(tags)["markup"].level == "warning"
    assert found(table("fine<br />so", *["fine"] * 90))["markup"].level == "note"
    assert "get_text" in found(tags)["markup"].message


REPLIES = [
    "Thanks!\n\nOn Mon, 3 Jan 2026 at 10:01, Support <s@acme.com> wrote:\n> Dear customer",
    "Thanks!\r\n\r\nOn Mon, 3 Jan 2026 at 10:01, Support\r\n<support@acme.com> wrote:\r\n",
    "Danke\nAm 03.01.2026 um 10:01 schrieb Hilfe:\nGuten Tag",
    "Merci\nLe lun. 3 janv. 2026 à 10:01, Aide <a@acme.com> a écrit :\nBonjour",
    "See below\n-----Original Message-----\nFrom: x",
    "Bitte\nVon: Hilfe\nGesendet: Montag\nAn: mich\nBetreff: Re: Frage\n\nGuten Tag",
    "so\n> what you said\n> and more\nis wrong",
]


@pytest.mark.parametrize("text", REPLIES)
def test_quoted_emails_are_named(text: str) -> None:
    quoted = found(table("From: here to there", "a > b\nc", "On Monday he wrote: well", text))["quoted_replies"]
    assert [suspect.row for suspect in quoted.suspects] == [5]


def test_signatures_are_named() -> None:
    marked = found(table("well -- or not", "a\n--\nJane Doe", "a\r\n-- \r\nJane"))["signatures"]
    assert [suspect.row for suspect in marked.suspects] == [3, 4]


def test_invisible_texts_are_a_problem() -> None:
    assert found(table("fine", "\u200b"))["nothing_to_see"].level == "problem"


GERMAN = [
    "Ich möchte meine Bestellung stornieren und mein Geld zurückbekommen",
    "Das Gerät funktioniert seit gestern leider überhaupt nicht mehr",
]


def test_a_mix_of_languages_is_found() -> None:
    pytest.importorskip("py3langid", reason="the extra languages is not installed")
    english = [f"Where is my parcel number {i}, it should have been delivered on Monday" for i in range(8)]
    (finding,) = _languages(Table([*english, *GERMAN], ["a"] * 10, np.arange(2, 12)))
    assert [(suspect.row, suspect.detail) for suspect in finding.suspects] == [(10, "language de"), (11, "language de")]
    assert finding.figures == {"texts": {"en": 8, "de": 2}, "looked_at": 10}
    assert "(en), but not all: de 2" in finding.message
    assert not list(_languages(Table(english, ["a"] * 8, np.arange(8)))), "one language is no finding"


def test_a_few_texts_of_another_language_are_a_note_and_of_many_some_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("py3langid", reason="the extra languages is not installed")
    english = [f"Where is my parcel number {i}, it should have been delivered on Monday" for i in range(199)]
    (few,) = _languages(table(*english, GERMAN[0]))
    assert (few.level, few.figures["texts"]) == ("note", {"en": 199, "de": 1})
    assert "most texts are in one language" in few.message
    monkeypatch.setattr("textcnn.doctor.texts.MOST_IDENTIFIED", 20)
    (some,) = _languages(table(*english[:20], *GERMAN * 5))
    assert some.level == "warning"
    assert some.figures["looked_at"] == 20
    assert "most texts of 20 looked at are in one language (en)" in some.message


@pytest.mark.parametrize("text", ["", "42", "ok", "?!", "\ud800", "\u200b"])
def test_texts_that_say_nothing_of_their_language_are_not_counted(text: str) -> None:
    pytest.importorskip("py3langid", reason="the extra languages is not installed")
    assert not list(_languages(Table([text] * 3 + GERMAN, ["a"] * 5, np.arange(5))))
