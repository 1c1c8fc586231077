"""Atoms of a file, in angstrom, with their elements and columns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from aetx.core import Registry
from aetx.errors import InputError, Problem
from aetx.io.angles import read_table
from aetx.io.lazy import reading
from aetx.io.points import LARGEST, element, rows_of
from aetx.io.stated import OriginTable, SpeciesTable, Stated
from aetx.model import ATOMS, units

AXES = ("x", "y", "z")
WIDEST = 1e8
"""Angstrom: no atom of a specimen is a centimetre from its middle."""


@dataclass(frozen=True)
class AtomDresser:
    """Turns what a reader gives into atoms."""

    stated: Stated
    source: str
    registry: Registry

    def fail(self, field: str, found: str, wanted: str, fix: str) -> InputError:
        """Return the error for one fault of this input."""
        return InputError(Problem(self.source, field, found, wanted, fix))

    def dress(self, raw: xr.Dataset) -> xr.Dataset:
        """Return the atoms; the table is read into memory."""
        with reading(Path(self.source), "table", "numbers"):
            positions, unit = self._positions(raw)
        bad = np.flatnonzero(~np.isfinite(positions).all(1))
        if bad.size:
            what = f"{bad.size} atoms without a finite position, the first at index {bad[0]}"
            raise self.fail("position", what, "finite positions", "mend the table")
        positions = self._placed(positions, unit)
        far = np.flatnonzero(~(np.abs(positions) <= WIDEST).all(1))
        if far.size:
            what = f"{far.size} atoms beyond {WIDEST:g} angstrom, the first at index {far[0]}"
            raise self.fail("position", what, "positions within a specimen", "mend the unit, or the table")
        count = len(positions)
        ids = np.asarray(raw["id"].values) if "id" in raw else np.arange(count)
        plain = np.array_equal(ids, np.rint(ids)) and bool((np.abs(ids) <= LARGEST).all())
        if np.unique(ids).size != count or not plain:
            raise self.fail(
                "id", "numbers that repeat or are not whole", "a whole number for each atom", "leave id out"
            )
        found = xr.Dataset(
            {
                "position": (("atom", "axis"), positions, {"units": "angstrom"}),
                "species": ("atom", self._species(raw, count), {"units": "1"}),
            },
            {"atom": ("atom", ids.astype(np.int64), {"units": "1"}), "axis": ("axis", np.array(AXES))},
        )
        for name, values in raw.data_vars.items():
            if name in ("position", "species", "id", *AXES) or values.dims not in (("atom",), ("atom", "axis")):
                continue
            found[str(name)] = self._column(str(name), values)
        header = raw.attrs.get("source_header")
        return found.assign_attrs({"source_header": header} if header else {})

    def _positions(self, raw: xr.Dataset) -> tuple[np.ndarray, str]:
        if "position" in raw and raw["position"].dims == ("atom", "axis"):
            values, own = np.asarray(raw["position"].values, float), raw["position"].attrs.get("units")
            if "axis" in raw.coords:
                values = np.asarray(raw["position"].sel(axis=list(AXES)).values, float)
        elif all(axis in raw.data_vars for axis in AXES):
            values = np.stack([np.asarray(raw[axis].values, float) for axis in AXES], 1)
            own = raw["x"].attrs.get("units")
        else:
            values, own = self._table(raw), None
        unit = self.stated.units or own
        if unit is None:
            fix = "state units: angstrom, nm, or pixel together with pixel_size"
            raise self.fail("units", "no unit of the positions", "a unit", fix)
        return values, str(unit)

    def _table(self, raw: xr.Dataset) -> np.ndarray:
        names = [str(name) for name in raw.data_vars]
        name = self.stated.variable if self.stated.variable in names else names[0] if len(names) == 1 else None
        if name is None:
            fix = f"state variable: one of {', '.join(names)}"
            raise self.fail("variable", f"{len(names)} arrays", "one table of positions", fix)
        one = raw[name]
        axes = self.stated.axes
        if one.dtype.kind not in "iuf" or one.ndim != 2 or 3 not in one.shape:
            what = f"{one.dtype} of shape {one.shape}"
            raise self.fail(name, what, "three numbers for each atom", "name another variable")
        if axes is None:
            if one.shape == (3, 3):
                fix = "state axes: [axis, atom] or [atom, axis]"
                raise self.fail("axes", "shape (3, 3)", "atoms along one axis, x, y, z along the other", fix)
            axes = ("axis", "atom") if one.shape[0] == 3 else ("atom", "axis")
        if sorted(axes) != ["atom", "axis"] or one.shape[axes.index("axis")] != 3:
            what = f"{list(axes)} for shape {one.shape}"
            raise self.fail("axes", what, "[axis, atom] or [atom, axis], with three along axis", "mend axes")
        values = np.asarray(one.values, float)
        return values.T if axes[0] == "axis" else values

    def _placed(self, positions: np.ndarray, unit: str) -> np.ndarray:
        zero = self.stated.zero
        if zero is not None:
            positions = positions - (positions.mean(0) if zero == "mean" else np.array(zero, float))
        if unit == "pixel":
            size = self.stated.pixel_size
            if size is None:
                raise self.fail("pixel_size", "positions in pixels", "the size of a pixel", "state pixel_size")
            positions = positions * np.array([size[axis] for axis in AXES] if isinstance(size, dict) else size)
        else:
            try:
                positions = positions * units.factor(unit, "angstrom")
            except units.UnitError as error:
                raise self.fail("units", repr(unit), "a length", str(error)) from error
        origin = self.stated.origin
        if isinstance(origin, OriginTable):
            raise self.fail("origin", "a table", "three lengths", "state origin: [x, y, z] for atoms")
        return positions if origin is None else positions + np.array(origin)

    def _species(self, raw: xr.Dataset, count: int) -> np.ndarray:
        stated = self.stated.species
        if "species" in raw:
            if stated is not None:
                raise self.fail("species", "elements in the file and in the recipe", "one of them", "leave species out")
            return np.asarray(raw["species"].values).astype(np.int32)
        if stated is None:
            return np.zeros(count, np.int32)
        path = Path(self.source)
        if isinstance(stated, SpeciesTable):
            made = self._looked_up(stated)
        elif isinstance(stated, tuple):
            made = np.array([element(path, f"species[{at}]", str(one)) for at, one in enumerate(stated)], np.int32)
        else:
            made = np.full(count, element(path, "species", str(stated)), np.int32)
        if made.size != count:
            raise self.fail("species", f"{made.size} elements", f"{count}, one for each atom", "mend the list")
        return made

    def _looked_up(self, table: SpeciesTable) -> np.ndarray:
        path = Path(table.path)
        known = {key: element(path, f"types[{key}]", str(one)) for key, one in table.types.items()}
        if path.suffix.lower() in (".txt", ".dat", ".csv", "") and table.variable is None:
            words = [words[0] for _, words in rows_of(path)]
        else:
            words = [f"{one:g}" for one in np.ravel(read_table(path, table.variable, self.registry))]
        made = []
        for at, word in enumerate(words):
            if known and word not in known:
                fix = f"known are {', '.join(known)}"
                raise InputError(Problem(str(path), f"type of atom {at}", repr(word), "a type that types names", fix))
            made.append(known[word] if known else element(path, f"atom {at}", word))
        return np.array(made, np.int32)

    def _column(self, name: str, values: xr.DataArray) -> tuple[tuple[str, ...], np.ndarray, dict[str, str]]:
        dims = tuple(map(str, values.dims))
        var = ATOMS.variables.get(name)
        made = np.asarray(values.values)
        own = values.attrs.get("units")
        unit = own if own is not None else var.units[0] if var is not None and var.units else "1"
        if var is not None and var.dtype in ("int32", "float64"):
            made = made.astype(var.dtype)
        elif var is not None and var.dtype == "float":
            made = made.astype(np.float64)
        return dims, made, {"units": str(unit)}
