from __future__ import annotations

import os

import pytest

from service.feedback import FeedbackLog


def lines(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir())).splitlines()


def test_lines_are_on_the_disk_when_it_returns_and_full_files_are_left_behind(tmp_path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(handle), real(handle)))
    log = FeedbackLog(tmp_path / "f", max_bytes=20)
    for number in range(10):
        assert log.append([b"line %d" % number, b"more"]) == [None, None]
    assert lines(tmp_path / "f") == [part for number in range(10) for part in (b"line %d" % number, b"more")]
    assert len(list((tmp_path / "f").iterdir())) == 5
    assert len(synced) >= 10


def test_after_a_failed_write_another_file_is_begun(tmp_path, monkeypatch):
    log = FeedbackLog(tmp_path / "f", max_bytes=1000)
    log.append([b"first"])

    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError):
            log.append([b"lost"])
    log.append([b"second"])
    assert lines(tmp_path / "f")[-1] == b"second"
    assert len(list((tmp_path / "f").iterdir())) == 2
