"""Which legacy encoding bytes are in: the one in which they read most like some language that is written in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

# The letters that a language has beside those of ASCII, in lower case, by the encoding of Windows for it and by that of
# a Macintosh. Of equally good readings the first counts, so what could be taken for more stands behind what cannot.
_WESTERN = (
    "äöüß",  # German
    "àâæçéèêëîïôœùûüÿ",  # French
    "áéíñóúüªº",  # Spanish
    "àáâãçéêíóôõúüªº",  # Portuguese
    "àèéìíòóù",  # Italian
    "àçèéíïòóúü·",  # Catalan
    "áéëïóöüèê",  # Dutch
    "åäöé",  # Swedish, Finnish
    "æøåéòô",  # Danish, Norwegian
    "áæéíðóöúýþ",  # Icelandic
    "äõöüšž",  # Estonian
)
_ALPHABETS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("cp1252", _WESTERN),
    (
        "cp1250",
        (
            "ąćęłńóśźż",  # Polish
            "áčďéěíňóřšťúůýž",  # Czech
            "áäčďéíĺľňóôŕšťúýž",  # Slovak
            "áéíóöőúüű",  # Hungarian
            "ăâîşţ",  # Romanian
            "čćđšž",  # Croatian, Slovenian
        ),
    ),
    ("cp1254", ("çğıöşüâîû",)),  # Turkish
    ("cp1257", ("ąčęėįšųūž", "āčēģīķļņšūž")),  # Lithuanian, Latvian
    ("mac-roman", _WESTERN),
    ("cp1255", ("אבגדהוזחטיךכלםמןנסעףפץצקרשת",)),  # Hebrew: its bytes are those of Cyrillic letters
    ("cp1253", ("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋ",)),  # Greek
    ("cp1256", ("ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىيًٌٍَُِّْپچژگ،؛؟ـ",)),  # Arabic, Persian
    ("cp874", ("กขคฆงจฉชซฌญฎฏฐฑฒณดตถทธนบปผฝพฟภมยรฤลวศษสหฬอฮะัาำิีึืฺุู฿เแโใไๅๆ็่้๊๋์ํ๐๑๒๓๔๕๖๗๘๙",)),  # Thai
    ("cp1251", ("абвгдежзийклмнопрстуфхцчшщъыьэюяёіїєґўј",)),  # Russian, Ukrainian, Bulgarian
    ("koi8-r", ("абвгдежзийклмнопрстуфхцчшщъыьэюяё",)),
)
# Several western languages in one file; a single one that has all the letters is believed more.
_MIXED = 0.9
_PUNCTUATION = frozenset("‘’‚“”„–—…«»‹›•€£§°©®™´¡¿№·\u00a0")
_SPACES_WORDS = frozenset("–—…«»‹›•“”„¡¿")
_WIDE_PUNCTUATION = re.compile("[\u3000-\u303f\uff01-\uff5e·—…‘’“”×]")
_UNDECODABLE = -5.0
# Rows are taken from all of the sample until they are so many bytes.
_ENOUGH = 1 << 16


def guess_legacy(rows: Sequence[bytes]) -> str:
    """The encoding of rows that are not UTF-8. It is always one, for some must be tried."""
    several = max(1, sum(map(len, rows)) // _ENOUGH)
    sample = b"\n".join(rows[::several])
    scores = {encoding: read(sample) for encoding, read in _READINGS.items()}
    return max(scores, key=lambda encoding: scores[encoding])


def _by_alphabet(sample: bytes, *, encoding: str, alphabets: Sequence[str]) -> float:
    """How well the sample reads: the mean of its characters beyond ASCII, 1 where all of them fit one language."""
    seen: Counter[tuple[str, str, str]] = Counter()  # with its neighbours
    text = f" {sample.decode(encoding, 'replace')} "
    for match in _BEYOND_ASCII.finditer(text):
        seen[match.group(), text[match.start() - 1], text[match.end()]] += 1
    mixed = "".join(alphabets)
    languages = [(alphabet, 1.0) for alphabet in alphabets] + [(mixed, _MIXED)] * (len(alphabets) > 5)
    return max(_mean({key: _fit(*key, alphabet) for key in seen}, seen, most) for alphabet, most in languages)


_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")


def _fit(character: str, before: str, after: str, alphabet: str) -> float:
    """From 1, for what the language has, to -1."""
    if character == "\ufffd":
        return _UNDECODABLE
    if character in _PUNCTUATION:
        return -1.0 if character in _SPACES_WORDS and before.isalpha() and after.isalpha() else 1.0
    small = character.lower()
    if small not in alphabet or (not small <= _LAST_LATIN and any(map(_is_ascii_letter, (before, after)))):
        return -1.0
    if character == small or not before.isalpha():
        return 1.0
    return 0.3 if before.isupper() else -1.0  # a capital within a word is a sign of the wrong alphabet


_LAST_LATIN = "\u024f"


def _is_ascii_letter(character: str) -> bool:
    return character.isascii() and character.isalpha()


def _mean(fits: dict[tuple[str, str, str], float], seen: Counter[tuple[str, str, str]], most: float) -> float:
    return most * sum(fits[key] * times for key, times in seen.items()) / max(1, seen.total())


def _by_character(sample: bytes, *, encoding: str, fit: Callable[[str, int, int], float]) -> float:
    """The same for an encoding of two bytes a character; `fit` gets the character and these."""
    seen = Counter(_BEYOND_ASCII.findall(sample.decode(encoding, "replace")))
    total = 0.0
    for character, times in seen.items():
        code = character.encode(encoding, "replace")
        if character == "\ufffd":
            value = _UNDECODABLE
        elif _WIDE_PUNCTUATION.match(character):
            value = 1.0
        else:
            value = fit(character, code[0], code[1]) if len(code) == 2 else -1.0
        total += value * times
    return total / max(1, seen.total())


# The standards put what is frequent first: level 1 of the Japanese and of both Chinese sets, the Korean syllables.
def _korean(character: str, lead: int, trail: int) -> float:
    if not "가" <= character <= "힣":
        return -1.0
    return 1.0 if 0xB0 <= lead <= 0xC8 and trail >= 0xA1 else 0.0


def _japanese(character: str, lead: int, trail: int) -> float:
    if "\u3040" <= character <= "\u30ff":
        return 1.0
    return 1.0 if 0x88 <= lead <= 0x97 else 0.0


def _traditional(character: str, lead: int, trail: int) -> float:
    return 1.0 if 0xA4 <= lead <= 0xC6 else -1.0


def _simplified(character: str, lead: int, trail: int) -> float:
    if trail < 0xA1 or lead < 0xB0:
        return -1.0
    return 1.0 if lead <= 0xD7 else 0.0


_READINGS: dict[str, Callable[[bytes], float]] = {
    "cp949": partial(_by_character, encoding="cp949", fit=_korean),  # these bytes are those of Thai and Chinese, too
    **{name: partial(_by_alphabet, encoding=name, alphabets=alphabets) for name, alphabets in _ALPHABETS},
    "cp932": partial(_by_character, encoding="cp932", fit=_japanese),
    "cp950": partial(_by_character, encoding="cp950", fit=_traditional),
    "gb18030": partial(_by_character, encoding="gb18030", fit=_simplified),
}
LEGACY = tuple(_READINGS)
