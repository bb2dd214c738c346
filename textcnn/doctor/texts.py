"""What the texts are like: length, words that will be unknown, writing systems, damaged characters."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from textcnn.config import TextConfig
from textcnn.data.columns import shorten
from textcnn.doctor.findings import Finding, Level, Suspect, count
from textcnn.doctor.table import Table

# UTF-8 read as Windows-1252 or Latin-1, and characters that a reader could not decode
_DAMAGED = re.compile("\ufffd|[ÂÃ][\u0080-\u00bf]|â€[\u0098-\u009f™œ\u201c\u201d¦]|Ð[\u0080-\u00bf]Ñ")
_MARKUP = re.compile(
    r"</?(?:html|head|body|br|p|div|span|a|b|i|u|em|strong|font|img|h[1-6]|ul|ol|li|table|td|tr|th|style|script|"
    r"blockquote|pre|code|hr)\b[^<>]*>|&(?:amp|lt|gt|quot|apos|nbsp|[a-z]{1,6}(?:acute|grave|uml|circ|tilde|cedil)|"
    r"#\d+|#x[0-9a-f]+);",
    re.IGNORECASE,
)
# Lines of an e-mail that the sender of this one has not written, as programs put them in several languages
_QUOTED = re.compile(
    r"^[ \t]*>[^\n]*\n[ \t]*>"
    r"|^(?:On|Am|Le|El|Il|Em|Op|Den|Dnia)\b[^\n]{6,200}(?:\n[^\n]{0,100})?"
    r"(?:wrote|schrieb[^\n]*|a écrit|escribió|ha scritto|escreveu|schreef[^\n]*|skrev[^\n]*|napisał[^\n]*)\s?:\s*$"
    r"|^-{3,} ?(?:Original|Ursprüngliche|Message d|Mensaje|Messaggio|Mensagem|Oorspronkelijk|Forwarded|Weitergeleitete)"
    r"|^(?:From|Von|De|Da|Van): [^\n]+\n(?:[^\n]+\n){0,3}(?:Subject|Betreff|Objet|Asunto|Oggetto|Assunto|Onderwerp): ",
    re.MULTILINE,
)
_SIGNATURE = re.compile(r"^-- ?$", re.MULTILINE)
# What is in so many of the texts costs quality in all of them.
OFTEN = 0.05
PERCENTILES = (0, 5, 50, 95, 100)
# Of a foreign script alone there are so few letters in a text that uses it for a name
MOSTLY = 0.5
# A language is named where it is so probable; of so many texts at most, and of each this beginning.
SURE, MOST_IDENTIFIED, BEGINNING = 0.95, 10_000, 1_000
NO_LANGUAGE = "zxx"  # ISO 639-2, for what is in none: numbers, addresses


def text_findings(table: Table, test: Table | None) -> Iterator[Finding]:
    yield from _lengths(table)
    yield from _unknown_words(table, test)
    yield from _scripts(table)
    yield from _languages(table)
    yield from _matching(table, "damaged_characters", _DAMAGED, "characters that were decoded wrongly", level="warning")
    yield from _matching(
        table, "markup", _MARKUP, "HTML tags or entities, which count as words",
        advice="; take them out of these and of every text that the model is asked about, by the same program (of "
        "Python, html.unescape and BeautifulSoup's get_text)",
    )  # fmt: skip
    yield from _matching(
        table, "quoted_replies", _QUOTED, "quoted e-mails in them, whose words count like those of the sender",
        advice="; cut them off here and in every text that the model is asked about",
    )  # fmt: skip
    yield from _matching(
        table, "signatures", _SIGNATURE, "signatures, whose words count like those of the text",
        advice="; cut them off here and in every text that the model is asked about",
    )  # fmt: skip


def _lengths(table: Table) -> Iterator[Finding]:
    lengths = table.ids.lengths
    spread = {str(p): int(value) for p, value in zip(PERCENTILES, np.percentile(lengths, PERCENTILES), strict=True)}
    yield Finding(
        "lengths",
        "note",
        f"half of the texts have {spread['50']:,} tokens or fewer, 95 % at most {spread['95']:,}, "
        f"the longest {spread['100']:,}",
        figures={"percentiles": spread, "tokens": int(lengths.sum()), "vocabulary": len(table.tokenizer) - 2},
    )
    longest = TextConfig().max_length
    cut = np.flatnonzero(lengths > longest)
    if len(cut):
        yield Finding(
            "truncated",
            "warning" if len(cut) >= 0.01 * len(table) else "note",
            f"{count(len(cut), 'text has', 'texts have')} more than {longest:,} tokens, of which the rest is cut off "
            "(text.max_length, text.truncation)",
            tuple(Suspect(int(table.rows[i]), f"{lengths[i]:,} tokens") for i in cut),
            {"rows": len(cut), "max_length": longest},
        )
    empty = np.flatnonzero(lengths == 0)
    if len(empty):
        yield Finding(
            "nothing_to_see",
            "problem",
            f"{count(len(empty), 'text consists', 'texts consist')} of invisible characters only",
            tuple(Suspect(int(table.rows[i]), "no visible character") for i in empty),
            {"rows": len(empty)},
        )


def _unknown_words(table: Table, test: Table | None) -> Iterator[Finding]:
    counts = np.bincount(table.ids.values, minlength=len(table.tokenizer))
    total = max(int(counts.sum()), 1)
    # Good and Turing: the words seen once are as frequent together as those not seen yet
    expected = float((counts == 1).sum() / total)
    figures = {"expected": expected}
    message = f"about {expected:.1%} of the words in new texts of this kind will be unknown to the model"
    if test is not None:
        unknown = table.tokenizer.encode(test.texts).values == table.tokenizer.id_of("\0")
        figures["test"] = float(unknown.mean()) if len(unknown) else 0.0
        message += f"; in the test texts it is {figures['test']:.1%}"
    many = max(figures.values()) >= 0.1
    advice = ": word vectors (--vectors) or text.tokenizer=bpe would help" if many else ""
    yield Finding("unknown_words", "warning" if many else "note", message + advice, figures=figures)


@lru_cache(maxsize=100_000)
def script(character: str) -> str:
    """The writing system of a letter, as its Unicode name begins; "" for what is no letter."""
    if not character.isalpha():
        return ""
    name = unicodedata.name(character, "").split(" ")[0].split("-")[0]
    # Japanese is written in three at once, with the Chinese characters that others use too
    return {"CJK": "HAN", "HIRAGANA": "HAN", "KATAKANA": "HAN", "FULLWIDTH": "LATIN"}.get(name, name)


def _scripts(table: Table) -> Iterator[Finding]:
    of_text = []
    for text in table.texts:
        if text.isascii():
            of_text.append("LATIN")
            continue
        letters = Counter(map(script, text))
        letters.pop("", None)
        (name, times) = letters.most_common(1)[0] if letters else ("", 0)
        of_text.append(name if times >= MOSTLY * letters.total() else "")
    counts = Counter(name for name in of_text if name)
    if len(counts) < 2:
        return
    (main, most), *others = counts.most_common()
    said = ", ".join(f"{name.capitalize()} {times:,}" for name, times in others[:5])
    yield Finding(
        "scripts",
        "warning" if most < 0.99 * len(table) else "note",
        f"most texts are written in {main.capitalize()} letters, but not all: {said}",
        tuple(
            Suspect(int(row), f"{name.capitalize()} letters")
            for row, name in zip(table.rows, of_text, strict=True)
            if name not in ("", main)
        ),
        {"texts": dict(counts)},
    )


def _languages(table: Table) -> Iterator[Finding]:
    """Texts that are surely of another language than most, where the library for it is installed."""
    try:
        from py3langid import langid
    except ImportError:  # the extra "languages"; the pages say what is missing without it
        return
    identify = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True).classify
    chosen = np.sort(np.random.default_rng(0).permutation(len(table))[:MOST_IDENTIFIED]).tolist()
    found = {i: language for i in chosen for language, sure in [identify(table.texts[i][:BEGINNING])] if sure >= SURE}
    counts = Counter(found.values())
    if len(counts) < 2:
        return
    (main, most), *others = counts.most_common()
    said = ", ".join(f"{name} {times:,}" for name, times in others[:5]).replace(NO_LANGUAGE, "none at all")
    looked = f" of {len(chosen):,} looked at" if len(chosen) < len(table) else ""
    yield Finding(
        "languages",
        "warning" if most < 0.99 * counts.total() else "note",
        f"most texts{looked} are in one language ({main}), but not all: {said}; only sure ones are counted, "
        f"{counts.total():,} texts, and short ones seldom are",
        tuple(Suspect(int(table.rows[i]), f"language {name}") for i, name in found.items() if name != main),
        {"texts": dict(counts), "looked_at": len(chosen)},
    )


def _matching(
    table: Table, kind: str, pattern: re.Pattern[str], what: str, *, level: Level | None = None, advice: str = ""
) -> Iterator[Finding]:
    """Without a `level` a warning where many texts match, else a note."""
    found = [
        (row, match)
        for row, text in zip(table.rows, table.texts, strict=True)
        if (match := pattern.search(text.replace("\r\n", "\n")))
    ]
    if found:
        yield Finding(
            kind,
            level or ("warning" if len(found) >= OFTEN * len(table) else "note"),
            f"{count(len(found), 'text has', 'texts have')} {what}, such as {shorten(found[0][1].group())!r}{advice}",
            tuple(Suspect(int(row), shorten(match.group())) for row, match in found),
            {"rows": len(found)},
        )
