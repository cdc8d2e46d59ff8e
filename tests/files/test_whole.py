"""Whole files: a name leads to the old file or to the new one, whatever happens on the way."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import stat

import pytest

from fastbp.files import whole
from fastbp.files.whole import write_whole

OLD, PARTS = b"old" * 1000, [b"new " * 500, memoryview(b"and newer" * 300), b""]
NEW = b"".join(PARTS)
# What is asked of the system, in order; the parts are written in between.
CALLS = ["open", "fchmod", "fsync", "replace", "open", "fsync", "close"]


class FailingOS:
    """The module os, in which one call, counted from 0, ends in `fail`."""

    def __init__(self, number, fail):
        self.left, self.fail, self.calls = number, fail, []

    def __getattr__(self, name):
        function = getattr(os, name)
        if name not in CALLS:
            return function

        def call(*arguments):
            self.calls.append(name)
            if len(self.calls) == self.left + 1:
                self.fail()
            return function(*arguments)

        return call


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(OLD)
    return path


def left_behind(path):
    return [each.name for each in path.parent.iterdir() if each != path]


def in_a_child(act):
    """Run `act` in a process of its own and return how it ended."""
    child = os.fork()
    if not child:
        try:
            act()
        except OSError as error:
            os._exit(error.errno)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_the_steps_are_those_that_make_it_whole(old, monkeypatch):
    system = FailingOS(100, None)
    monkeypatch.setattr(whole, "os", system)
    write_whole(old, PARTS)
    assert system.calls == CALLS
    assert old.read_bytes() == NEW
    assert left_behind(old) == []


@pytest.mark.parametrize("number", range(len(CALLS)))
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_an_error_of_any_step_leaves_the_old_file_or_the_new_one(old, monkeypatch, number, code):
    def fail():
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(whole, "os", FailingOS(number, fail))
    with pytest.raises(OSError, match=os.strerror(code)):
        write_whole(old, PARTS)
    assert old.read_bytes() == (OLD if number <= CALLS.index("replace") else NEW)
    assert left_behind(old) == []


@pytest.mark.parametrize("number", range(len(CALLS)))
@pytest.mark.parametrize("before", [True, False])
def test_a_crash_at_any_step_leaves_the_old_file_or_the_new_one(old, number, before):
    def die():
        os._exit(99)

    def write():
        whole.os = FailingOS(number + (not before), die)
        write_whole(old, PARTS)
        die()

    assert in_a_child(write) == 99
    is_new = number > CALLS.index("replace") or (number == CALLS.index("replace") and not before)
    assert old.read_bytes() == (NEW if is_new else OLD)


@pytest.mark.parametrize("written", range(len(PARTS)))
def test_a_crash_between_two_parts_leaves_the_old_file(old, written):
    def parts():
        yield from itertools.islice(PARTS, written)
        os._exit(99)

    assert in_a_child(lambda: write_whole(old, parts())) == 99
    assert old.read_bytes() == OLD


def test_an_interrupt_leaves_the_old_file_and_nothing_else(old):
    def parts():
        yield PARTS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(old, parts())
    assert old.read_bytes() == OLD
    assert left_behind(old) == []


@pytest.mark.parametrize("limit", [0, 1, 100, len(NEW) - 1])
def test_a_file_that_finds_no_room_leaves_the_old_one_and_nothing_else(old, limit):
    def write():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        write_whole(old, PARTS)

    assert in_a_child(write) == errno.EFBIG
    assert old.read_bytes() == OLD
    assert left_behind(old) == []


def test_a_new_file_has_the_permissions_that_others_have(tmp_path):
    (tmp_path / "other").write_bytes(b"")
    write_whole(tmp_path / "new", PARTS)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("other", "new")]
    assert modes[0] == modes[1]


def test_an_old_file_passes_on_its_permissions(old):
    old.chmod(0o640)
    write_whole(str(old), PARTS)
    assert stat.S_IMODE(old.stat().st_mode) == 0o640


def test_nobody_else_may_read_what_is_written_before_it_has_the_old_permissions(old, monkeypatch):
    old.chmod(0o600)

    def look():
        (temporary,) = left_behind(old)
        assert stat.S_IMODE((old.parent / temporary).stat().st_mode) == 0o600
        raise KeyboardInterrupt

    monkeypatch.setattr(whole, "os", FailingOS(CALLS.index("fchmod"), look))
    with pytest.raises(KeyboardInterrupt):
        write_whole(old, PARTS)


def test_an_error_names_the_file_and_not_the_temporary_one(old, monkeypatch):
    def fail():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for number in range(CALLS.index("replace") + 1):
        monkeypatch.setattr(whole, "os", FailingOS(number, fail))
        with pytest.raises(OSError, match=f": '{old}'$"):
            write_whole(old, PARTS)


def test_a_symbolic_link_leads_to_the_new_file(old):
    link = old.parent / "link"
    link.symlink_to(old.name)
    write_whole(link, PARTS)
    assert link.is_symlink()
    assert old.read_bytes() == NEW


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path, PARTS)
    with pytest.raises(ValueError, match=r"^path: expected a regular file"):
        write_whole(tmp_path / "pipe", PARTS)
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none" / "file", PARTS)
    for name in ("new/", "new/.", "pipe/..", ""):
        with pytest.raises(IsADirectoryError, match=r"^path: expected the name of a file, got "):
            write_whole(name and f"{tmp_path}/{name}", PARTS)
    with pytest.raises(ValueError, match=r"^path: expected a path without null characters"):
        write_whole(f"{tmp_path}/a\0b", PARTS)
    with pytest.raises(TypeError, match=r"^path: expected a path, got bytes"):
        write_whole(b"file", PARTS)
    assert [each.name for each in tmp_path.iterdir()] == ["pipe"]
