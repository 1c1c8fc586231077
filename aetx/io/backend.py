"""The entry point of xarray: ``xr.open_dataset(path, engine="aetx", pixel_size=0.35, angles="s.tlt")``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import xarray as xr
from xarray.backends import BackendEntrypoint

from aetx.core import Reader, Registry
from aetx.errors import InputError, Problem, did_you_mean
from aetx.io import angles
from aetx.io.dress import MAIN
from aetx.io.open import choose, open_lazily, preferred
from aetx.io.stated import Stated
from aetx.model import KINDS, TILT_SERIES, VOLUME, Kind

OWN_SUFFIXES = (".mrc", ".st", ".ali", ".rec", ".tvh5")
"""Suffixes that no other backend of xarray claims."""


class AetxBackend(BackendEntrypoint):
    """Opens every format that aetx reads, lazily; ``chunks={}`` gives one image a chunk."""

    description = "Open electron-microscope images, tilt series and volumes with aetx"
    url = "https://pypi.org/project/aetx"
    open_dataset_parameters = ("filename_or_obj", "drop_variables", "kind", "reader", *Stated.model_fields)

    def open_dataset(  # type: ignore[override]  # what is stated has names, where xarray has **kwargs
        self,
        filename_or_obj: str | os.PathLike[str],
        *,
        drop_variables: str | Iterable[str] | None = None,
        kind: str | None = None,
        reader: str | None = None,
        **stated: Any,
    ) -> xr.Dataset:
        """Open a file.

        Parameters
        ----------
        filename_or_obj
            The file.
        drop_variables
            Variables to leave out.
        kind
            What it shall be; needed only where neither the file nor the angles tell.
        reader
            Name of the reader; without it the file's name decides.
        **stated
            What the file does not say: the fields of `aetx.io.Stated`. Numbers are in angstrom and degree.
        """
        path = Path(filename_or_obj)
        registry = Registry()
        made = Stated.of(stated, source=str(path))
        chosen = registry.reader(reader) if reader is not None else choose(path, registry)
        wanted = self._kind(path, kind, chosen, made)
        found = open_lazily([path], wanted, chosen.name, made, registry, None)
        name = MAIN.get(wanted.name)
        if name is not None and name in found:
            found[name].encoding["preferred_chunks"] = preferred(found, wanted)
        dropped = [drop_variables] if isinstance(drop_variables, str) else list(drop_variables or ())
        return found.drop_vars(dropped, errors="ignore")

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Tell whether the suffix is one that aetx alone knows."""
        if not isinstance(filename_or_obj, str | os.PathLike):
            return False
        return Path(filename_or_obj).suffix.lower() in OWN_SUFFIXES

    def _kind(self, path: Path, kind: str | None, chosen: Reader, stated: Stated) -> Kind:
        if kind is not None:
            if kind not in KINDS:
                problem = Problem(str(path), "kind", repr(kind), "a known kind", did_you_mean(kind, KINDS))
                raise InputError(problem)
            return KINDS[kind]
        if len(chosen.gives) == 1:
            return chosen.gives[0]
        if stated.angles is not None:
            return TILT_SERIES
        own = {"variable": stated.variable} if "variable" in chosen.params.model_fields else {}
        raw = chosen(path, chosen.params.model_validate(own))
        schema = str(raw.attrs.get("aetx_schema", "")).partition("/")[0]
        if schema in KINDS:
            return KINDS[schema]
        if "theta" in raw.variables or (chosen.name == "mrc" and angles.beside(path)):
            return TILT_SERIES
        if path.suffix.lower() == ".rec" or int(raw.attrs.get("space_group", 0)) > 0 or "z" in raw.dims:
            return VOLUME
        if chosen.name == "mrc":
            fix = f"no {path.stem}.tlt, .rawtlt or .mdoc beside it: pass angles=, or kind="
            raise InputError(Problem(str(path), "angles", "an image stack without tilt angles", "its angles", fix))
        known = ", ".join(one.name for one in chosen.gives)
        raise InputError(Problem(str(path), "kind", "a file that does not tell", f"one of {known}", "pass kind="))
