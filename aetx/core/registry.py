"""Stages and readers found by name: the path is the registration, entry points are the door for other packages."""

from __future__ import annotations

import ast
import fnmatch
import functools
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from aetx.core.reader import Reader
from aetx.core.stage import Stage
from aetx.errors import Problem, RecipeError, did_you_mean

STAGES = "aetx.stages"
READERS = "aetx.io.formats"


@dataclass(frozen=True)
class Registry:
    """The stages and readers of aetx and of the installed packages that were named with ``--plugin``.

    A plugin's entry points are ``aetx.stages`` (``room.name = "package.module:stage"``) and ``aetx.readers``
    (``name = "package.module:reader"``). Naming imports nothing; finding imports that one module.
    """

    plugins: frozenset[str] = frozenset()

    def stage_names(self) -> list[str]:
        """Return the names of all stages, sorted."""
        own = [f"{room}.{name}" for room in _modules(STAGES) for name in _modules(f"{STAGES}.{room}")]
        return sorted(own + list(self._entries("aetx.stages")))

    def reader_names(self) -> list[str]:
        """Return the names of all readers, sorted."""
        return sorted(list(_modules(READERS)) + list(self._entries("aetx.readers")))

    def stage(self, name: str) -> Stage:
        """Return the stage of that name.

        Raises
        ------
        RecipeError
            If there is none.
        """
        entry = self._entries("aetx.stages").get(name)
        if entry is not None:
            found = entry.load()
        elif name in self.stage_names():
            found = getattr(importlib.import_module(f"{STAGES}.{name}"), name.rpartition(".")[2])
        else:
            raise RecipeError(_unknown("stage", name, self.stage_names()))
        if not isinstance(found, Stage) or found.name != name:
            raise RecipeError(Problem(name, "stage", _told(found), f"a stage named {name!r}", "mend the plugin"))
        return found

    def reader(self, name: str) -> Reader:
        """Return the reader of that name.

        Raises
        ------
        RecipeError
            If there is none.
        """
        entry = self._entries("aetx.readers").get(name)
        if entry is not None:
            found = entry.load()
        elif name in self.reader_names():
            found = getattr(importlib.import_module(f"{READERS}.{name}"), name)
        else:
            raise RecipeError(_unknown("reader", name, self.reader_names()))
        if not isinstance(found, Reader) or found.name != name:
            raise RecipeError(Problem(name, "reader", _told(found), f"a reader named {name!r}", "mend the plugin"))
        return found

    def readers_for(self, path: Path) -> list[Reader]:
        """Return the readers whose patterns match a file name."""
        readers = [self.reader(name) for name in self.reader_names()]
        return [one for one in readers if any(fnmatch.fnmatch(path.name.lower(), glob) for glob in one.patterns)]

    def _entries(self, group: str) -> dict[str, metadata.EntryPoint]:
        return _entry_points(group, self.plugins, tuple(sys.path)) if self.plugins else {}

    def missing_plugins(self) -> list[str]:
        """Return the plugins that were named but are not installed."""
        return sorted(name for name in self.plugins if not _installed(name))


@functools.lru_cache(maxsize=8)
def _entry_points(group: str, plugins: frozenset[str], _: tuple[str, ...]) -> dict[str, metadata.EntryPoint]:
    """Return the entry points of packages; remembered, as it reads the metadata of everything that is installed."""
    points = metadata.entry_points(group=group)
    named = {_normal(name) for name in plugins}
    return {point.name: point for point in points if point.dist is not None and _normal(point.dist.name) in named}


def _normal(package: str) -> str:
    """Return the one spelling of a package's name: ``Aetx_Toy`` and ``aetx-toy`` are the same."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _unknown(what: str, name: str, known: Iterable[str]) -> Problem:
    return Problem(name, what, repr(name), f"a known {what}", did_you_mean(name, known))


def _told(found: object) -> str:
    return repr(found.name) if isinstance(found, (Stage, Reader)) else repr(found)


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


@functools.cache
def _modules(package: str) -> tuple[str, ...]:
    folders = importlib.import_module(package).__path__
    return tuple(sorted(found.name for found in pkgutil.iter_modules(folders) if not found.name.startswith("_")))


def stage_summary(name: str) -> str:
    """Return the first line of a stage's docstring without importing it (own stages only; else empty)."""
    room, _, short = name.partition(".")
    folder = Path(__file__).parent.parent / "stages" / room / f"{short}.py"
    if not folder.exists():
        return ""
    for node in ast.parse(folder.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == short:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""
