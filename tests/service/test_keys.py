from __future__ import annotations

import codecs
import json
import stat

import pytest

from service.keys import KeyRing, KeysError, add_key, main, read_keys

HASH = "0" * 64


def test_a_key_that_was_made_is_found_and_only_its_hash_is_kept(tmp_path, capsys):
    file = tmp_path / "keys.jsonl"
    assert main(["add", "shop", "--file", str(file), "--scope", "infer", "--scope", "metrics"]) == 0
    key = capsys.readouterr().out.strip()
    other = add_key(file, "ops", ["admin"], 5)
    ring = read_keys(file)
    found, second = ring.find(key.encode()), ring.find(other.encode())
    assert found is not None and second is not None
    assert (found.name, found.scopes, found.per_second) == ("shop", {"infer", "metrics"}, 0)
    assert second.name == "ops"
    assert key not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_file_as_windows_editors_write_it_is_the_same(tmp_path):
    key = add_key(file := tmp_path / "keys", "shop", ["infer"], 0)
    file.write_bytes(codecs.BOM_UTF8 + file.read_bytes().replace(b"\n", b"\r\n"))
    assert read_keys(file).find(key.encode()).name == "shop"


@pytest.mark.parametrize("presented", [b"", b"tc_", b"\xff\xfe", b"x" * 10_000])
def test_another_is_not_found(tmp_path, presented):
    add_key(tmp_path / "keys", "shop", ["infer"], 0)
    assert read_keys(tmp_path / "keys").find(presented) is None


def test_without_a_file_there_are_no_keys():
    assert not read_keys(None)
    assert KeyRing().find(b"anything") is None


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("{", "line 1 is not JSON"),
        ("[]", "other fields"),
        ('{"name": "a"}', "other fields"),
        (json.dumps({"name": "a", "sha256": HASH, "scopes": ["infer"], "key": "secret"}), "other fields"),
        (json.dumps({"name": "a", "sha256": "xyz", "scopes": ["infer"]}), "no hash"),
        (json.dumps({"name": 1, "sha256": HASH, "scopes": ["infer"]}), "no name"),
        (json.dumps({"name": "a", "sha256": HASH, "scopes": []}), "admin, infer, metrics"),
        (json.dumps({"name": "a", "sha256": HASH, "scopes": ["root"]}), "admin, infer, metrics"),
        (json.dumps({"name": "a", "sha256": HASH, "scopes": "infer"}), "admin, infer, metrics"),
        (json.dumps({"name": "a", "sha256": HASH, "scopes": ["infer"], "per_second": -1}), "per_second"),
        (json.dumps({"name": "a", "sha256": HASH, "scopes": ["infer"], "per_second": True}), "per_second"),
        ("", "has no keys"),
    ],
)
def test_a_file_that_cannot_be_used_says_where_and_why(tmp_path, line, part):
    (tmp_path / "keys").write_text(line + "\n")
    with pytest.raises(KeysError, match=part):
        read_keys(tmp_path / "keys")


def test_a_file_that_was_changed_is_read_again(tmp_path, caplog):
    file = tmp_path / "keys"
    gone, kept = add_key(file, "gone", ["infer"], 0), add_key(file, "kept", ["infer"], 0)
    ring = read_keys(file)
    file.write_text(file.read_text().splitlines()[1])
    ring.read_again()
    assert ring.find(gone.encode()) is None
    assert ring.find(kept.encode()) is not None
    file.write_text("{")
    ring.read_again()
    assert ring.find(kept.encode()) is not None
    assert "line 1 is not JSON" in caplog.text
    file.write_text("")
    ring.read_again()
    assert ring, "without any key left nobody gets in, instead of everybody"
    assert ring.find(kept.encode()) is None


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(KeysError, match="No such file"):
        read_keys(tmp_path / "none")
