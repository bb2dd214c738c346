from __future__ import annotations

import os

import pytest

from service.files import read_file


def test_a_regular_file_is_read_whole_by_way_of_links_too(tmp_path):
    (tmp_path / "file").write_bytes(b"\xff\r\n\x00")
    (tmp_path / "link").symlink_to("file")
    assert read_file(tmp_path / "file") == read_file(tmp_path / "link") == b"\xff\r\n\x00"
    (tmp_path / "empty").touch()
    assert read_file(tmp_path / "empty") == b""


def test_nobody_waits_for_what_may_never_come(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name, said in (
        ("pipe", "no regular file"),
        (".", "Is a directory"),
        ("loop", "Too many levels"),
        ("x", "No such"),
    ):
        with pytest.raises(OSError, match=said):
            read_file(tmp_path / name)
    with pytest.raises(OSError, match="no regular file"):
        read_file(type(tmp_path)("/dev/zero"))
