from __future__ import annotations

import codecs
import json
import os
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
    assert (second.name, second.scopes, second.per_second) == ("ops", {"admin"}, 5)
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
        ("[" * 100_000, "line 1 is not JSON: depth limit"),
        (json.dumps({"name": "\ud800", "sha256": HASH, "scopes": ["infer"]}), "line 1 is not JSON: .* surrogate"),
        (f'{{"name": "a", "sha256": "{HASH}", "scopes": ["infer"], "scopes": ["admin"]}}', "gives a field twice"),
        ("[]", "other fields"),
        ('{"name": "a"}', "other fields"),
        (json.dumps({"name": "a", "sha256": HASH, "scopes": ["infer"], "key": "secret"}), "other fields"),
        (json.dumps({"name": "a", "sha256": "xyz", "scopes": ["infer"]}), "no hash"),
        (json.dumps({"name": "a", "sha256": 5, "scopes": ["infer"]}), "no hash"),
        (json.dumps({"name": 1, "sha256": HASH, "scopes": ["infer"]}), "no name"),
        (json.dumps({"name": "a", "sha256": HASH, "scopes": []}), "admin, infer, metrics"),
        (json.dumps({"name": "a", "sha256": HASH, "scopes": ["root"]}), "admin, infer, metrics"),
        (json.dumps({"name": "a", "sha256": HASH, "scopes": "infer"}), "admin, infer, metrics"),
        (json.dumps({"name": "a", "sha256": HASH, "scopes": 5}), "admin, infer, metrics"),
        (json.dumps({"name": "a", "sha256": HASH, "scopes": ["infer", "root"]}), "admin, infer, metrics"),
        (json.dumps({"name": "a", "sha256": HASH, "scopes": [["infer"]]}), "admin, infer, metrics"),
        (json.dumps({"name": "a", "sha256": HASH, "scopes": ["infer"], "per_second": -1}), "per_second"),
        (json.dumps({"name": "a", "sha256": HASH, "scopes": ["infer"], "per_second": True}), "per_second"),
        (json.dumps({"name": "a", "sha256": HASH, "scopes": ["infer"], "per_second": "5"}), "per_second"),
        (json.dumps({"name": "a", "sha256": HASH, "scopes": ["infer"], "per_second": 1e999}), "per_second"),
        ("", "has no keys"),
    ],
)
def test_a_file_that_cannot_be_used_says_where_and_why(tmp_path, line, part):
    (tmp_path / "keys").write_text(line + "\n")
    with pytest.raises(KeysError, match=part):
        read_keys(tmp_path / "keys")


def test_a_key_has_one_line_and_a_name_may_have_several(tmp_path):
    def line(name: str, digit: str, scope: str) -> str:
        return json.dumps({"name": name, "sha256": digit * 64, "scopes": [scope]}, ensure_ascii=False) + "\n"

    file = tmp_path / "keys"
    file.write_text(
        line("a", "0", "infer") + line("shop\u2028one", "1", "infer") + "\n" + line("b", "0", "admin"), "utf-8"
    )
    with pytest.raises(KeysError, match=r"line 4 has the same key as line 1; expected all its scopes in one line"):
        read_keys(file)
    file.write_text(line("shop", "0", "infer") + line("shop", "1", "infer"))
    assert [key.name for key in read_keys(file).keys] == ["shop", "shop"]


def test_a_file_that_was_changed_is_read_again(tmp_path, caplog):
    file = tmp_path / "keys"
    gone, kept = add_key(file, "gone", ["infer"], 0), add_key(file, "kept", ["infer"], 0)
    ring = read_keys(file)
    caplog.set_level("INFO")
    file.write_text(file.read_text().splitlines()[1])
    ring.read_again()
    assert ring.find(gone.encode()) is None
    assert ring.find(kept.encode()) is not None
    file.write_text("{")
    ring.read_again()
    assert ring.find(kept.encode()) is not None
    assert "line 1 is not JSON" in caplog.text
    assert [record.message for record in caplog.records if record.levelname == "INFO"] == ["keys read again"]
    file.write_text("")
    ring.read_again()
    assert ring, "without any key left nobody gets in, instead of everybody"
    assert ring.find(kept.encode()) is None


def test_lines_without_a_key_are_passed_over_and_counted(tmp_path):
    file = tmp_path / "keys"
    file.write_text(" \n\n" + json.dumps({"name": "a", "sha256": HASH, "scopes": ["infer"]}) + "\n{\n")
    with pytest.raises(KeysError, match="line 4 is not JSON"):
        read_keys(file)
    file.write_text(file.read_text()[:-2])
    assert [key.name for key in read_keys(file).keys] == ["a"]


def test_without_a_file_there_is_nothing_to_be_read_again():
    ring = KeyRing()
    ring.read_again()
    assert not ring.keys


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path):
    with pytest.raises(KeysError, match="none: No such file"):
        read_keys(tmp_path / "none")
    (tmp_path / "keys").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(KeysError, match="keys, line 1 is not JSON: str is not valid UTF-8"):
        read_keys(tmp_path / "keys")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(KeysError, match="pipe: it is no regular file"):
        read_keys(tmp_path / "pipe")


def test_a_key_for_which_nothing_is_said_is_for_asking_as_often_as_one_likes(tmp_path, capsys):
    file = tmp_path / "keys"
    assert main(["add", "shop", "--file", str(file)]) == 0
    (key,) = read_keys(file).keys
    assert (key.scopes, key.per_second) == ({"infer"}, 0)
    assert main(["add", "shop", "--file", str(file), "--per-second", "2.5"]) == 0
    assert read_keys(file).keys[1].per_second == 2.5


def test_a_key_is_added_to_a_file_whose_last_line_an_editor_left_without_end(tmp_path):
    file = tmp_path / "keys"
    first = add_key(file, "first", ["infer"], 0)
    file.write_text(file.read_text().rstrip("\n"))
    second = add_key(file, "second", ["infer"], 0)
    ring = read_keys(file)
    assert [ring.find(key.encode()).name for key in (first, second)] == ["first", "second"]
    assert file.read_text().count("\n") == 2


@pytest.mark.parametrize("rate", ["-1", "nan", "inf", "many"])
def test_a_rate_that_would_make_the_file_unreadable_is_not_written(tmp_path, capsys, rate):
    with pytest.raises(SystemExit) as ended:
        main(["add", "shop", "--file", str(tmp_path / "keys"), f"--per-second={rate}"])
    assert ended.value.code == 2
    assert rate in capsys.readouterr().err
    assert not (tmp_path / "keys").exists()


def test_a_key_that_cannot_be_kept_is_not_shown(tmp_path, capsys):
    assert main(["add", "shop", "--file", str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"python -m service.keys: cannot write {tmp_path}: Is a directory\n"


@pytest.mark.parametrize("arguments", [[], ["add"], ["add", "shop"], ["add", "--file", "keys"]])
def test_what_is_needed_for_a_key_is_asked_for(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "required" in capsys.readouterr().err
