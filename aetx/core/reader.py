"""A reader: a function from a path to what that file says, and no more."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from aetx.core.params import NoParams, Params
from aetx.model import Kind


@dataclass(frozen=True)
class Reader:
    """A reader as the registry knows it.

    The function opens a file lazily and returns a dataset that may be incomplete: axes that the file does not
    name are called ``dim_0``, ``dim_1``, …; a coordinate that it does not give is left out. What is
    missing, the recipe states. The original header goes to ``attrs["source_header"]``.
    """

    name: str
    function: Callable[..., xr.Dataset]
    patterns: tuple[str, ...]
    gives: tuple[Kind, ...]
    params: type[Params]

    def __call__(self, path: Path, params: Params | None = None, **options: Any) -> xr.Dataset:
        """Open a file."""
        return self.function(path, params if params is not None else self.params(**options))

    @property
    def __doc__(self) -> str:  # type: ignore[override]  # a property: that of the function
        return inspect.getdoc(self.function) or ""

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.__doc__.partition("\n")[0]


def reader(
    name: str, *, patterns: tuple[str, ...], gives: tuple[Kind, ...], params: type[Params] = NoParams
) -> Callable[[Callable[..., xr.Dataset]], Reader]:
    """Make a reader of a function ``(path, params)``; the file is ``aetx/io/formats/name.py``, the function `name`.

    `patterns` are lower-case globs of file names that it is chosen for; `gives` the kinds it can become.
    """

    def make(function: Callable[..., xr.Dataset]) -> Reader:
        return Reader(name, function, patterns, gives, params)

    return make
