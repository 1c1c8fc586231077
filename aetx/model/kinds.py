"""The kinds of dataset that flow between stages, and their check, which reads metadata only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from aetx.errors import InputError, Problem
from aetx.model import units

Say = Callable[[str, str, str, str], None]

DTYPES = {
    "real": ("f", "i", "u"),
    "float": ("f",),
    "integer": ("i", "u"),
    "flag": ("b", "i", "u"),
    "text": ("U", "T", "O"),
    "any": tuple("biufUTO"),
}
"""Families of numpy dtype kinds that a variable may have."""


@dataclass(frozen=True)
class Var:
    """One variable of a kind: its dimensions, the unit it can be converted to, its dtype family or name, its meaning.

    `units` lists the canonical units that are accepted; an empty tuple accepts every one (image intensities are
    counts, fractions or arbitrary). `dtype` is a family of `DTYPES` or the name of one type.
    """

    dims: tuple[str, ...]
    units: tuple[str, ...]
    dtype: str
    meaning: str
    required: bool = True


@dataclass(frozen=True)
class Kind:
    """A kind of dataset: a name, a version, its variables and coordinates, and which axes are even grids.

    A dataset of a kind that `extends` another one is of that other kind too.
    """

    name: str
    variables: Mapping[str, Var]
    grid: tuple[str, ...] = ()
    version: int = 1
    extends: Kind | None = None

    @property
    def schema(self) -> str:
        """The text in ``attrs["aetx_schema"]``."""
        return f"{self.name}/{self.version}"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return _kind_named, (self.name,)

    def is_a(self, other: Kind) -> bool:
        """Tell whether every dataset of this kind is one of the other kind."""
        return self.name == other.name or (self.extends is not None and self.extends.is_a(other))

    def problems(self, dataset: xr.Dataset, source: str = "dataset") -> list[Problem]:
        """Return everything in which a dataset is not of this kind. Reads no pixel."""
        found: list[Problem] = []

        def say(field: str, what: str, wanted: str, fix: str) -> None:
            found.append(Problem(source, field, what, wanted, fix))

        for name, var in self.variables.items():
            if name not in dataset.variables:
                if var.required:
                    have = ", ".join(sorted(map(str, dataset.variables))) or "no variables"
                    say(name, have, f"a variable {name!r} ({var.meaning})", f"a {self.name} needs it")
                continue
            _check_variable(dataset.variables[name], name, var, say)
        for key, variable in dataset.variables.items():
            text = variable.attrs.get("units")
            if key in self.variables or variable.dtype.kind in "UTO":
                continue
            if not isinstance(text, str) or not _is_canonical(text):
                say(str(key), f"units {text!r}", "a canonical unit", "state attrs['units'], '1' where there is none")
        for axis in self.grid:
            if axis in dataset.coords and dataset.coords[axis].dims == (axis,):
                _check_grid(np.asarray(dataset.coords[axis].values, float), axis, say)
        return found

    def check(self, dataset: xr.Dataset, source: str = "dataset") -> None:
        """Raise `InputError` with every problem if a dataset is not of this kind."""
        found = self.problems(dataset, source)
        if found:
            raise InputError(found, f"{source} is not a {self.name.replace('_', ' ')}")

    def stamp(self, dataset: xr.Dataset) -> xr.Dataset:
        """Return the dataset with this kind written in its attributes."""
        return dataset.assign_attrs(aetx_schema=self.schema)


def _check_variable(variable: xr.Variable, name: str, var: Var, say: Say) -> None:
    if variable.dims != var.dims:
        say(name, f"dimensions {variable.dims}", f"{var.dims}", f"transpose or rename the axes of {name!r}")
    allowed = DTYPES.get(var.dtype)
    if not (variable.dtype.kind in allowed if allowed else variable.dtype == np.dtype(var.dtype)):
        say(name, f"dtype {variable.dtype}", var.dtype, f"convert {name!r}")
    if var.dtype == "text":
        return
    text = variable.attrs.get("units")
    if not isinstance(text, str) or not text.strip():
        say(name, f"units {text!r}", " or ".join(var.units) or "a unit", f"state the unit of {name!r}")
    elif var.units and text not in var.units:
        say(name, f"units {text!r}", " or ".join(var.units), f"convert {name!r}")
    elif not _is_canonical(text):
        say(name, f"units {text!r}", "a canonical unit", "spell it as aetx.model.units.canonical does")


def _is_canonical(text: str) -> bool:
    try:
        return units.canonical(text) == text
    except units.UnitError:
        return False


def _check_grid(values: np.ndarray, axis: str, say: Say) -> None:
    steps = np.diff(values)
    if values.size == 0 or not np.isfinite(values).all():
        say(axis, "no values" if values.size == 0 else "values that are not finite", "a finite axis", "mend the axis")
    elif steps.size and (steps[0] <= 0 or np.abs(steps - steps[0]).max() > 1e-4 * abs(steps[0])):
        say(axis, f"steps from {steps.min():g} to {steps.max():g}", "equal steps, rising", "resample, or mend the axis")


def _kind_named(name: str) -> Kind:
    return KINDS[name]


_LENGTH = ("angstrom",)
_ANGLE = ("degree",)


def _axis(name: str, meaning: str, unit: tuple[str, ...] = _LENGTH) -> dict[str, Var]:
    return {name: Var((name,), unit, "real", meaning)}


_Y = _axis("y", "height in the image, from the rotation centre")
_X = _axis("x", "width in the image, from the rotation centre")
_GRID = _axis("z", "along the beam at zero tilt") | _axis("y", "along the tilt axis") | _axis("x", "across both")
_LABELS = {"axis": Var(("axis",), (), "text", "the labels x, y, z")}
_POSES = {
    name: Var(("tilt",), _ANGLE, "float", f"{name} of R = Rz(phi) Ry(theta) Rx(psi); p = transpose(R) r")
    for name in ("phi", "theta", "psi")
} | {"tilt": Var(("tilt",), ("1",), "integer", "number of the image")}
_DOSE = {"dose": Var(("tilt",), ("e/angstrom**2",), "float", "electrons per area of each image", required=False)}
_ENERGY = {"energy": Var((), ("keV",), "float", "kinetic energy of the electrons", required=False)}
_OPTIONAL_SERIES = {
    **_DOSE,
    "variance": Var(("tilt", "y", "x"), (), "float", "variance of each pixel, squared image units", required=False),
    "mask": Var(("tilt", "y", "x"), ("1",), "flag", "pixels to trust", required=False),
    "origin": Var(("axis",), _LENGTH, "float", "specimen position of the rotation centre", required=False),
}
_ATOM = {
    "atom": Var(("atom",), ("1",), "integer", "stable id of each atom"),
    **_LABELS,
    "position": Var(("atom", "axis"), _LENGTH, "float64", "centre of each atom"),
    "species": Var(("atom",), ("1",), "int32", "atomic number, 0 where unknown"),
    "intensity": Var(("atom",), (), "float", "height or integral of each atom", required=False),
    "width": Var(("atom",), _LENGTH, "float", "Gaussian standard deviation of each atom", required=False),
    "sigma": Var(("atom", "axis"), _LENGTH, "float", "standard error of the position", required=False),
    "exists": Var(("atom",), ("1",), "float", "probability that the site is an atom", required=False),
    "flag": Var(("atom",), ("1",), "int32", "0 where nothing is wrong", required=False),
}

TILT_SERIES = Kind(
    "tilt_series",
    {"image": Var(("tilt", "y", "x"), (), "real", "intensity"), **_POSES, **_Y, **_X, **_OPTIONAL_SERIES},
    ("y", "x"),
)
SCAN_SERIES = Kind(
    "scan_series",
    {
        "pattern": Var(("tilt", "scan_y", "scan_x", "ky", "kx"), (), "real", "diffracted intensity"),
        **_POSES,
        **_axis("scan_y", "probe position"),
        **_axis("scan_x", "probe position"),
        **_axis("ky", "spatial frequency", ("1/angstrom",)),
        **_axis("kx", "spatial frequency", ("1/angstrom",)),
        **_DOSE,
        **_ENERGY,
        "semi_angle": Var((), ("mrad",), "float", "half angle of the cone of the probe", required=False),
    },
    ("scan_y", "scan_x", "ky", "kx"),
)
FOCAL_SERIES = Kind(
    "focal_series",
    {
        "image": Var(("tilt", "focus", "y", "x"), (), "real", "intensity"),
        "defocus": Var(("tilt", "focus"), _LENGTH, "float", "defocus of each image, above 0 under focus"),
        **_POSES,
        **_Y,
        **_X,
        **_DOSE,
        **_ENERGY,
    },
    ("y", "x"),
)
RAW_SERIES = Kind(
    "raw_series",
    {
        "image": Var(("tilt", "frame", "y", "x"), (), "real", "intensity, rows as they were scanned one after another"),
        "scan_direction": Var(
            ("frame",), _ANGLE, "float", "turn of the scan: specimen (x, y) = Rz (x, y) of the frame", required=False
        ),
        **_POSES,
        **_Y,
        **_X,
        **_DOSE,
    },
    ("y", "x"),
)
FRAMES = Kind("frames", {"image": Var(("frame", "y", "x"), (), "real", "intensity"), **_Y, **_X}, ("y", "x"))
VOLUME = Kind(
    "volume",
    {
        "density": Var(("z", "y", "x"), (), "real", "image units per angstrom: image = step times sum of density"),
        **_GRID,
        "support": Var(("z", "y", "x"), ("1",), "flag", "where the specimen may be", required=False),
    },
    ("z", "y", "x"),
)
ATOMS = Kind("atoms", _ATOM)
COLUMNS = Kind(
    "columns",
    {
        "column": Var(("column",), ("1",), "integer", "stable id of each column"),
        **_LABELS,
        "position": Var(("column", "axis"), _LENGTH, "float64", "centre of each column in the image"),
        "count": Var(("column",), ("1",), "integer", "atoms in the column"),
        "probability": Var(("column",), ("1",), "float", "probability of that count"),
    },
)
LATTICE = Kind(
    "lattice",
    {
        **_ATOM,
        "site": Var(("atom", "vector"), ("1",), "real", "lattice coordinates of each atom, NaN where there are none"),
        "grain": Var(("atom",), ("1",), "integer", "grain of each atom, -1 where there is none"),
        "basis": Var(("grain_id", "vector", "axis"), _LENGTH, "float64", "lattice vectors of each grain"),
        "displacement": Var(("atom", "axis"), _LENGTH, "float64", "atom minus its site"),
    },
    extends=ATOMS,
)
_TENSOR = ("z", "y", "x", "axis", "axis2")
FIELD = Kind(
    "field",
    {
        **_GRID,
        "weight": Var(("z", "y", "x"), ("1",), "float", "density of what it is made of, 1 inside", required=False),
        "displacement": Var(_TENSOR[:4], _LENGTH, "float", "away from the reference", required=False),
        "displacement_error": Var(_TENSOR[:4], _LENGTH, "float", "standard error of it", required=False),
        "strain": Var(_TENSOR, ("1",), "float", "symmetric part of the deformation, tensor shear", required=False),
        "strain_error": Var(_TENSOR, ("1",), "float", "standard error of it", required=False),
        "rotation": Var(_TENSOR, ("1",), "float", "antisymmetric part of the deformation, radian", required=False),
        "rotation_error": Var(_TENSOR, ("1",), "float", "standard error of it", required=False),
    },
    ("z", "y", "x"),
)
EDITS = Kind(
    "edits",
    {
        "entry": Var(("entry",), ("1",), "integer", "line of the file where each edit begins"),
        **_LABELS,
        "action": Var(("entry",), (), "text", "add, remove, move, relabel, merge, split, accept or reject"),
        "reason": Var(("entry",), (), "text", "why"),
        "author": Var(("entry",), (), "text", "who"),
        "element": Var(("entry",), ("1",), "int32", "atomic number, -1 where none is stated"),
        "atom": Var(("entry", "place"), ("1",), "integer", "ids of the atoms that are meant, -1 where none is stated"),
        "position": Var(("entry", "place", "axis"), _LENGTH, "float64", "where those atoms are, NaN where not stated"),
        "target": Var(("entry", "place", "axis"), _LENGTH, "float64", "where they go, NaN where not stated"),
    },
)
SCORE = Kind("score", {})
FILE = Kind("file", {"content": Var(("byte",), ("1",), "uint8", "the bytes of the file, its suffix in attrs")})

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        TILT_SERIES,
        SCAN_SERIES,
        FOCAL_SERIES,
        RAW_SERIES,
        FRAMES,
        VOLUME,
        ATOMS,
        COLUMNS,
        LATTICE,
        FIELD,
        EDITS,
        SCORE,
        FILE,
    )
}


def kind_of(dataset: xr.Dataset) -> Kind:
    """Return the kind written in a dataset's attributes.

    Raises
    ------
    InputError
        If none is written there, or one that is not known.
    """
    text = str(dataset.attrs.get("aetx_schema", ""))
    kind = KINDS.get(text.partition("/")[0])
    if kind is None or kind.schema != text:
        known = ", ".join(sorted(KINDS))
        raise InputError(Problem("dataset", "attrs['aetx_schema']", repr(text), f"one of {known}", "stamp the kind"))
    return kind


def spacing(dataset: xr.Dataset, axis: str) -> float:
    """Return the step of an even axis, in the unit of its coordinate.

    Raises
    ------
    InputError
        If the axis has fewer than two values, so that no step is known.
    """
    values = dataset.coords[axis].values
    if values.size < 2:
        raise InputError(
            Problem("dataset", axis, f"{values.size} value", "at least two", "an axis of one value has no step")
        )
    return float((values[-1] - values[0]) / (values.size - 1))


def positions(atoms: xr.Dataset) -> np.ndarray:
    """Return the positions of atoms, shape (atoms, 3), float64: x, y, z in angstrom from the rotation centre."""
    ordered = atoms["position"].sel(axis=["x", "y", "z"]).transpose("atom", "axis")
    return ordered.values.astype(np.float64)


def same_grid(first: xr.Dataset, second: xr.Dataset, axes: tuple[str, ...] = ("z", "y", "x")) -> bool:
    """Tell whether two datasets share size, step, position and unit along the given axes."""
    for axis in axes:
        a, b = first.coords[axis], second.coords[axis]
        if a.size != b.size or a.attrs.get("units") != b.attrs.get("units"):
            return False
        step = abs(float(a[1] - a[0])) if a.size > 1 else 1.0
        if not np.allclose(a.values, b.values, rtol=0, atol=1e-4 * step):
            return False
    return True
