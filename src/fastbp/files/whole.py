"""Whole files: whatever happens while one is written, its name leads to the old one or the new."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable

FOLDERS = ("", os.curdir, os.pardir)  # what stands behind the last slash of a folder's path


def write_whole(path: str | os.PathLike[str], parts: Iterable[bytes | memoryview]) -> None:
    """Write a file, or leave what was there as it was.

    The parts go to a temporary file in the same folder, which takes the name when all of it is on
    the disk. A process that is killed before leaves ``.fastbp-*.tmp`` behind.

    Parameters
    ----------
    path : str or path
        The file; a symbolic link is followed. An old file passes on its permissions.
    parts : iterable of bytes
        What to write, in order.

    Raises
    ------
    TypeError, ValueError
        If `path` is no path, or leads to something that is neither a file nor a folder.
    OSError
        If the path is that of a folder, its folder is missing, the disk is full, permission is
        lacking and so on.
    """
    target = _target(checked_path(path))
    mode = _mode_of_old(target)
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f".fastbp-{os.urandom(8).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with open(os.open(temporary, flags, 0o666 if mode is None else mode), "wb") as file:
            if mode is not None:  # exactly, whatever the process leaves out of new files' ones
                os.fchmod(file.fileno(), mode)
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):  # whose user knows another name, or got none
            raise OSError(error.errno, error.strerror, target) from error
        raise
    _sync_folder(folder)


def checked_path(path: str | os.PathLike[str]) -> str:
    """Return a path as text."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path: expected a path, got {type(path).__name__} {path!r}")
    text = os.fspath(path)
    if "\0" in text:
        raise ValueError(f"path: expected a path without null characters, got {text!r}")
    return text


def _target(path: str) -> str:
    """Return where a path leads; one that can be that of a folder alone names no file."""
    if os.path.basename(path) in FOLDERS:
        raise IsADirectoryError(f"path: expected the name of a file, got {path!r}")
    return os.path.realpath(path)


def _mode_of_old(target: str) -> int | None:
    """Return the permissions of the file that is to be replaced, if there is one."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"path: expected a file, got the folder {target}")
    if not stat.S_ISREG(mode):
        raise ValueError(f"path: expected a regular file, got {target}")
    return stat.S_IMODE(mode)


def _sync_folder(folder: str) -> None:
    """Bring the new name to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
