"""Steps on the file system: durable, atomic, never through a symlink, and in words when the machine refuses."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import io
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aetx.errors import EnvironmentFault, Problem

_AT_FDCWD = -100
_EXCHANGE = 2
_BLOCK = 1 << 18
ROOT = "zarr.json"
"""The file without which no program opens a store."""
_ADVICE = {
    errno.ENOSPC: "free some space, or choose another output",
    errno.EDQUOT: "the quota is used up: free some space, or choose another output",
    errno.ENOENT: "no folder can be made there, or it was removed: choose another output",
    errno.EROFS: "the file system is read-only: choose another output",
    errno.EACCES: "mend the permissions, or choose another output",
    errno.EPERM: "mend the permissions, or choose another output",
    errno.EIO: "the disk reports an error: check it, or choose another output",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "the machine has too many open files",
    errno.EFBIG: "raise the limit of the file size (ulimit -f)",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "mend the symbolic links on the way, or choose another output",
    errno.ENOTDIR: "a file stands on the way: choose another output",
    errno.ESTALE: "the file system was lost: mount it again",
    errno.ETIMEDOUT: "the file system does not answer: check it",
    errno.EBUSY: "something else holds it: choose another output",
}


def fault(error: OSError, path: Path, needed: int = 0) -> EnvironmentFault:
    """Return the error of the user's world for an error of the file system."""
    wanted = f"{needed} bytes, written whole" if needed else "to write there"
    name = errno.errorcode.get(error.errno or 0, "")
    advice = _ADVICE.get(error.errno or 0, "choose another output")
    found = f"{error.strerror or error} ({name})"
    with contextlib.suppress(OSError):
        found += f", {free_bytes(path)} bytes free"
    return EnvironmentFault(Problem(str(error.filename or path), "disk", found, wanted, advice))


@contextlib.contextmanager
def in_words(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn the errors of a file system that cannot be written to into `EnvironmentFault`."""
    try:
        yield
    except OSError as error:
        if error.errno in _ADVICE:
            raise fault(error, path, needed) from error
        raise


def free_bytes(path: Path) -> int:
    """Return the bytes free for an unprivileged user where a path is, or where it would be."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def sha256(path: Path) -> str:
    """Return the digest of a file's bytes, read as a stream."""
    with path.open("rb", buffering=0) as file:
        return digest_of(file)


def digest_of(file: io.FileIO, told: Callable[[int], bool] | None = None) -> str:
    """Return the sha256 of an open file, read as a stream; `told` hears of each block's bytes and may say to stop."""
    digest, view = hashlib.sha256(), memoryview(bytearray(_BLOCK))
    while size := file.readinto(view):
        digest.update(view[:size])
        if told is not None and told(size):
            break
    return digest.hexdigest()


def sync(path: Path) -> None:
    """Wait until a file or the names in a folder are on the disk; file systems that cannot are left alone."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def files_below(folder: Path) -> list[str]:
    """Return the paths of everything in a folder that is not a folder, relative, sorted, symlinks included."""
    found = []
    for base, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(base) / name).is_symlink()]
        found += [(Path(base) / name).relative_to(folder).as_posix() for name in [*files, *links]]
    return sorted(found)


def sync_tree(folder: Path) -> None:
    """Wait until every file and folder below a folder is on the disk."""
    folders = [Path(base) for base, _, _ in os.walk(folder, topdown=False)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(sync, [folder / name for name in files_below(folder)]))
    for one in folders:
        sync(one)


def litter_name(name: str) -> str:
    """Return a name for something unfinished, which `aetx.store.sweep` knows again."""
    return f"{name[:80]}-{uuid.uuid4().hex}"


def write_atomically(
    path: Path, content: bytes | Iterable[bytes], scratch: Path, durable: bool = True
) -> tuple[int, str]:
    """Write a file that is, at every moment, the old one or the new one; return its size and sha256.

    `scratch` is the folder for what is unfinished, on the same file system. What need not outlive the machine is not
    `durable`: nobody waits for the disk.
    """
    aside = scratch / litter_name(path.name)
    digest, size = hashlib.sha256(), 0
    with in_words(path):
        scratch.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("xb") as file:
                for part in [content] if isinstance(content, bytes) else content:
                    digest.update(part)
                    size += file.write(part)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            aside.replace(path)
            if durable:
                sync(path.parent)
        except Exception:
            discard(aside)
            raise
    return size, digest.hexdigest()


def exchange(first: Path, second: Path) -> bool:
    """Swap two names in one step; False where the system cannot."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return False
    done = function(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _EXCHANGE)
    if done == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(second))


def remove(path: Path) -> None:
    """Remove a file or a folder of ours; of a symlink only the link.

    Of a store the root goes first, which takes no open file: one of which a kill or a lack of open files leaves a part
    can be opened by no program.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        (path / ROOT).unlink(missing_ok=True)
        shutil.rmtree(path)


def discard(path: Path) -> None:
    """Remove something unfinished as far as it goes; what a thread still writes there goes with the next sweep."""
    with contextlib.suppress(OSError):
        remove(path)
