"""The accessor `ds.aetx` on every xarray dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from aetx.errors import InputError, Problem
from aetx.model import Kind, kind_of, positions, units

if TYPE_CHECKING:
    import ase


@xr.register_dataset_accessor("aetx")
class Accessor:
    """What aetx knows of a dataset: its kind, a check, pint quantities, ASE atoms, pictures."""

    def __init__(self, dataset: xr.Dataset) -> None:
        self._dataset = dataset

    @property
    def kind(self) -> Kind:
        """The kind of the dataset."""
        return kind_of(self._dataset)

    def validate(self) -> xr.Dataset:
        """Return the dataset, or raise `InputError` with everything in which it is not of its kind."""
        self.kind.check(self._dataset)
        return self._dataset

    def quantify(self) -> xr.Dataset:
        """Return a copy whose data variables are pint quantities; what is not in memory, nor of dask, is read whole."""
        made = units.registry()
        return self._dataset.assign(
            {
                name: (variable.dims, made.Quantity(variable.data, units.parse(variable.attrs["units"])))
                for name, variable in self._dataset.data_vars.items()
                if "units" in variable.attrs
            }
        )

    def to_ase(self) -> ase.Atoms:
        """Return atoms as an `ase.Atoms`, ids and per-atom columns as its arrays (angstrom).

        Raises
        ------
        InputError
            If the dataset holds no atoms.
        """
        import ase

        atoms = self._dataset
        if "position" not in atoms or atoms["position"].dims != ("atom", "axis"):
            raise InputError(Problem("dataset", "position", "none", "atoms", "only atoms become ase.Atoms"))
        made = ase.Atoms(numbers=atoms["species"].values, positions=positions(atoms), pbc=False)
        made.set_array("id", atoms["atom"].values.astype(np.int64))
        for name, variable in atoms.data_vars.items():
            if name in ("position", "species") or variable.dims[:1] != ("atom",):
                continue
            values = variable.sel(axis=["x", "y", "z"]) if "axis" in variable.dims else variable
            if values.dtype.kind in "biuf" and values.ndim <= 2:
                column = values.values
                made.set_array(str(name), column.astype(np.int32) if column.dtype.kind == "b" else column)
        return made

    def show(self) -> list[Any]:
        """Return the pictures of the dataset as matplotlib figures."""
        from aetx.draw import draw

        return [picture.figure for picture in draw(self._dataset)]
