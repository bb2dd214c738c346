from __future__ import annotations

import os
import resource
import stat
from contextlib import contextmanager

import pytest

from service.feedback import FeedbackFolderError, FeedbackLog, check_folder


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


def test_a_file_is_full_when_it_has_as_many_bytes_as_it_may(tmp_path):
    log = FeedbackLog(tmp_path / "new" / "folder", max_bytes=10)
    for line in (b"1234", b"6789", b"next"):
        log.append([line])
    sizes = sorted(path.stat().st_size for path in (tmp_path / "new" / "folder").iterdir())
    assert sizes == [5, 10]


def test_what_users_said_is_for_the_owner_to_read_and_its_name_is_on_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(stat.S_ISDIR(os.fstat(handle).st_mode)))
    FeedbackLog(tmp_path, max_bytes=10).append([b"line"])
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert synced == [True, False], "the folder, then the file"


def test_a_file_whose_name_cannot_be_kept_is_not_written_to(tmp_path, monkeypatch):
    log = FeedbackLog(tmp_path, max_bytes=1000)

    def refuse(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="Input/output"):
            log.append([b"lost"])
    assert list(tmp_path.iterdir()) == []
    log.append([b"kept"])
    assert lines(tmp_path) == [b"kept"]


def test_no_file_is_left_open(tmp_path, monkeypatch):
    held = set()
    begin, end = os.open, os.close

    def opened(path, *options):
        handle = begin(path, *options)
        if str(path).startswith(str(tmp_path)):
            held.add(handle)
        return handle

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "close", lambda handle: (held.discard(handle), end(handle)))
    log = FeedbackLog(tmp_path, max_bytes=1)
    for _ in range(3):
        log.append([b"line"])
        assert len(held) == 1
    log.close()
    assert not held
    log.close()


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
    assert lines(tmp_path / "f") == [b"first", b"second"]
    assert len(list((tmp_path / "f").iterdir())) == 2


@contextmanager
def no_file_over(size):
    """As on a full disk: a write stops at that size, half way through a line."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_neither_half_a_line_nor_an_empty_file(tmp_path):
    log = FeedbackLog(tmp_path / "f", max_bytes=1000)
    log.append([b"whole", b"lines"])
    for _ in range(5):
        with no_file_over(15), pytest.raises(OSError):
            log.append([b"a line too long for the disk"])
    assert [path.read_bytes() for path in (tmp_path / "f").iterdir()] == [b"whole\nlines\n"]
    log.append([b"there is room again"])
    assert sorted(lines(tmp_path / "f")) == [b"lines", b"there is room again", b"whole"]


@pytest.mark.parametrize("take", [os.unlink, lambda path: os.rename(path, path.with_suffix(".taken"))])
def test_what_comes_after_a_file_was_taken_away_is_in_another(tmp_path, take):
    log = FeedbackLog(tmp_path / "f", max_bytes=1000)
    log.append([b"first"])
    (file,) = (tmp_path / "f").iterdir()
    take(file)
    log.append([b"second"])
    (file,) = (tmp_path / "f").glob("*.jsonl")
    assert file.read_bytes() == b"second\n"


def test_what_was_written_while_the_file_was_taken_away_is_written_again(tmp_path, monkeypatch):
    log = FeedbackLog(tmp_path / "f", max_bytes=1000)
    log.append([b"first"])
    (file,) = (tmp_path / "f").iterdir()
    sync = os.fsync

    def taken(handle):
        sync(handle)
        file.unlink(missing_ok=True)

    monkeypatch.setattr(os, "fsync", taken)
    log.append([b"second"])
    assert lines(tmp_path / "f") == [b"second"]


def test_a_place_where_nothing_can_be_kept_is_told_at_the_start(tmp_path, monkeypatch):
    check_folder(tmp_path / "new" / "folder")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(FeedbackFolderError, match="file is a file"):
        check_folder(tmp_path / "file" / "folder")
    (tmp_path / "lost").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    for name, said in (("lost", "lost: No such file"), ("loop/x", "loop.*: Too many levels"), ("a" * 300, "too long")):
        with pytest.raises(FeedbackFolderError, match=said):
            check_folder(tmp_path / name)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK | os.X_OK)
    with pytest.raises(FeedbackFolderError, match=f"{tmp_path} is not writable"):
        check_folder(tmp_path / "new")
