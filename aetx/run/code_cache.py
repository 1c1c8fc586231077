"""The folder of compiled kernels: numba runs what it finds there, so nobody else may have put it there."""

from __future__ import annotations

import os
import re
from pathlib import Path

from aetx.errors import EnvironmentFault, Problem

FIX = "export NUMBA_CACHE_DIR=FOLDER, one of your own (chmod 700)"
_OF_A_PACKAGE = re.compile(r".+_[0-9a-f]{40}")
"""What numba calls the folder of the kernels of a package."""


def code_cache() -> Path:
    """Return the folder that numba is told to use, that beside the kernels, or that of the user; it need not exist."""
    import aetx.kernels

    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(named)
    home = Path(str(aetx.kernels.__file__)).parent
    return (
        home if os.access(home, os.W_OK) else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "numba"
    )


def open_to_others(folder: Path) -> str:
    """Return which folder of a cache of code another user made or can write to, and why; empty for none.

    The members of a group count as the user: many systems give each user a group of their own, and let it write.
    """
    inside = sorted(one for one in folder.iterdir() if _OF_A_PACKAGE.fullmatch(one.name)) if folder.is_dir() else []
    for one in (folder, *inside):
        if not one.exists():
            continue
        state = one.stat()
        if state.st_uid not in (os.getuid(), 0):
            return f"{one}, which belongs to user {state.st_uid}"
        if state.st_mode & 0o002 and not (state.st_mode & 0o1000 and one == folder):
            return f"{one}, to which every user can write"
    return ""


def refuse_open_cache() -> None:
    """Raise `EnvironmentFault` where another user can have put code into the folder of compiled kernels.

    Beside the kernels nothing is looked at: who can write there can change the program itself.
    """
    import aetx.kernels

    folder = code_cache()
    if folder != Path(str(aetx.kernels.__file__)).parent and (found := open_to_others(folder)):
        raise EnvironmentFault(Problem("numba cache", "NUMBA_CACHE_DIR", found, "a folder of one's own", FIX))
