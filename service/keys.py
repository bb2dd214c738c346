"""Who may ask for what. Keys are kept as SHA-256 hashes, so the file does not give them away.

python -m service.keys add NAME --file keys.jsonl --scope infer     makes a key, shows it once, keeps its hash
"""

from __future__ import annotations

import argparse
import codecs
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from service.errors import InvalidJSONError
from service.files import read_file
from service.request_body import parse_unrepeated
from textcnn.errors import TextCNNError

KeyScope = Literal["infer", "admin", "metrics"]
SCOPES: tuple[str, ...] = get_args(KeyScope)
log = logging.getLogger(__name__)

MOST_PER_SECOND = 1e9
FIELDS = frozenset({"name", "sha256", "scopes", "per_second"})


class KeysError(TextCNNError):
    """The file of keys cannot be used; the message names the line."""


@dataclass(frozen=True)
class Key:
    """`per_second` is how many texts a second the key may send, on average; 0: no limit."""

    name: str
    digest: bytes
    scopes: frozenset[str]
    per_second: float = 0.0


class KeyRing:
    """All keys. Of no file, it asks for none; a file from which all were taken lets nobody in."""

    def __init__(self, keys: Iterable[Key] = (), *, path: Path | None = None) -> None:
        self.keys = tuple(keys)
        self.path = path

    def __bool__(self) -> bool:
        """Whether one has to show a key."""
        return self.path is not None

    def read_again(self) -> None:
        """Take what the file says now; what cannot be read changes nothing, and is logged."""
        try:
            self.keys = tuple(_keys_of(self.path)) if self.path else ()
        except KeysError as error:
            log.error("the keys stay as they were: %s", error)
            return
        log.info("keys read again", extra={"fields": {"keys": [key.name for key in self.keys]}})

    def find(self, presented: bytes) -> Key | None:
        """The key that was presented. Compares with every one, so the time says nothing about how near it came."""
        digest = hashlib.sha256(presented).digest()
        found = None
        for key in self.keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


def read_keys(path: Path | None) -> KeyRing:
    """Keys of a JSON Lines file. Raises KeysError."""
    if path is None:
        return KeyRing()
    keys = _keys_of(path)
    if not keys:
        raise KeysError(f"{path} has no keys; make one: python -m service.keys add NAME --file {path} --scope infer")
    return KeyRing(keys, path=path)


def _keys_of(path: Path) -> list[Key]:
    try:
        lines = read_file(path).removeprefix(codecs.BOM_UTF8).splitlines()
    except OSError as error:
        raise KeysError(f"cannot read the keys in {path}: {error.strerror}") from None
    lines_of: dict[bytes, int] = {}
    keys = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            key = _key(line, where := f"{path}, line {number}")
            first = lines_of.setdefault(key.digest, number)
            if first != number:
                raise KeysError(f"{where} has the same key as line {first}; expected all its scopes in one line")
            keys.append(key)
    return keys


def _key(line: bytes, where: str) -> Key:
    expected = 'expected {"name": "...", "sha256": "64 hexadecimal digits", "scopes": ["infer"], "per_second": 100}'
    try:
        given = parse_unrepeated(line, where)
    except InvalidJSONError as error:
        raise KeysError(f"{str(error).removeprefix('The ')} {expected.capitalize()}") from None
    if not isinstance(given, dict) or given.keys() - FIELDS or not {"name", "sha256", "scopes"} <= given.keys():
        raise KeysError(f"{where} has other fields; {expected}")
    digest, scopes, rate = given["sha256"], given["scopes"], given.get("per_second", 0)
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest) or not isinstance(given["name"], str):
        raise KeysError(f"{where} has no name or no hash; {expected}")
    if not isinstance(scopes, list) or not scopes or not all(scope in SCOPES for scope in scopes):
        raise KeysError(f"{where} has scopes {scopes!r}; they are {', '.join(sorted(SCOPES))}")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < MOST_PER_SECOND:
        raise KeysError(f"{where} has per_second {rate!r}, expected a number, 0 or more")
    return Key(given["name"], bytes.fromhex(digest), frozenset(scopes), float(rate))


def add_key(path: Path, name: str, scopes: Iterable[str], per_second: float) -> str:
    """Append the hash of a new key to the file, which only its owner can read, and return the key."""
    key = f"tc_{secrets.token_urlsafe(32)}"
    entry: dict[str, object] = {
        "name": name,
        "sha256": hashlib.sha256(key.encode()).hexdigest(),
        "scopes": sorted(scopes),
    }
    if per_second:
        entry["per_second"] = per_second
    with open(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "rb+") as file:
        begun = file.seek(0, os.SEEK_END) and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n"  # by an editor
        file.write(b"\n" * begun + json.dumps(entry).encode() + b"\n")
    return key


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 <= rate < MOST_PER_SECOND:
        raise argparse.ArgumentTypeError(f"{text} is no number of texts a second; expected 0 or more")
    return rate


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m service.keys", description="Make a key for the service.")
    add = parser.add_subparsers(required=True).add_parser("add", help="make a key, show it once, keep its hash")
    add.add_argument("name", help="whose key it is, for logs")
    add.add_argument("--file", type=Path, required=True, help="file of keys, made if need be")
    add.add_argument("--scope", choices=sorted(SCOPES), action="append", help="what it is for; default: infer")
    add.add_argument("--per-second", type=_rate, default=0.0, help="texts a second; 0: no limit")
    given = parser.parse_args(arguments)
    try:
        sys.stdout.write(add_key(given.file, given.name, given.scope or ["infer"], given.per_second) + "\n")
    except OSError as error:
        sys.stderr.write(f"python -m service.keys: cannot write {given.file}: {error.strerror}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
