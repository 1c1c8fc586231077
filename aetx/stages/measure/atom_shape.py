"""The average atom of a volume, its widths and elongation, and the atoms that stick out."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import xarray as xr
from ase.data import chemical_symbols
from numpy.typing import NDArray
from pydantic import Field

from aetx.core import Forecast, InputSizes, Length, stage
from aetx.core.brightness import BoxParams, Brightness, brightness, brightness_forecast
from aetx.core.tilts import elongation
from aetx.core.tomography import rotations
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels.scattering import ELEMENTS
from aetx.kernels.shape import UNKNOWNS, Shape, along_and_across, applied, gaussian, moments, outliers, stretches
from aetx.kernels.surface import neighbour_distance, surface
from aetx.model import ATOMS, SCORE, VOLUME, spacing

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]
Table = dict[str, tuple[Any, ...]]

ONE, ANGSTROM, DEGREE = {"units": "1"}, {"units": "angstrom"}, {"units": "degree"}
REACH = 0.45
"""Radius within which an atom is fitted, over the distance of nearest neighbours."""
LONG, ODD = 1, 2
"""Flags: longer than the others; second moments that are not those of a peak."""


class AtomShapeParams(BoxParams):
    """Parameters of `atom_shape`."""

    half_size: int = Field(
        5, ge=1, le=20, description="points of the box to each side of an atom; of it the inscribed ball is used"
    )
    oversampling: int = Field(1, ge=1, le=10, description="points of the box to an edge of a voxel")
    radius: Length | None = Field(
        None, gt=0, le=20, description="distance up to which is fitted; left out, 0.45 of that of nearest neighbours"
    )
    surface: float = Field(
        1.26,
        gt=0.5,
        le=10,
        description="radius of the alpha shape that tells surface from core, in median distances of nearest neighbours",
    )
    limit: float = Field(
        5.0, gt=0, le=100, description="robust standard deviations above the others at which an atom is flagged as long"
    )
    parts: int = Field(10, ge=2, le=1000, description="random parts of the atoms, left out in turn for the errors")
    seed: int = Field(0, ge=0, description="seed of the parts")


def _forecast(inputs: InputSizes, params: AtomShapeParams) -> Forecast:
    read = brightness_forecast(inputs, params)
    atoms, side = read.sizes["atom"], 2 * params.half_size + 1
    sizes = {"atom": atoms, "axis": 3, "principal": 3, "box_z": side, "box_y": side, "box_x": side}
    return Forecast(sizes, read.memory + 40 * atoms * side**3 // 2, read.seconds + 1.0 + 1e-4 * atoms)


@stage(
    "measure.atom_shape",
    takes={"atoms": ATOMS, "volume": VOLUME},
    gives=SCORE,
    params=AtomShapeParams,
    version=1,
    flow="halo",
    forecast=_forecast,
)
def atom_shape(atoms: xr.Dataset, volume: xr.Dataset, params: AtomShapeParams, memory: int | None = None) -> xr.Dataset:
    """Return the average atom, its Gaussian widths against what the missing wedge predicts, and which atoms are odd.

    The box around each atom, centred on it by cubic splines, is averaged over all atoms, those on the `surface` (outer
    alpha shape), the `core`, and each element, as `average`. Within `radius`,

        height * exp(-(r - c) . inverse(C) (r - c) / 2) + background

    is fitted: `width_axis` is the root of the diagonal of C, `principal` those of its eigenvalues, longest first, along
    `principal_axis`, `anisotropy` the longest over the shortest. `beam` is the direction nearest to all beams, that the
    wedge is about (z where the volume does not know its tilts); `width_along` it, and `width` across it, the root of
    the product of two widths. `elongation` is the first over the second, `elongation_expected` what a wedge beyond half
    the angle between the outermost beams does to a point without any prior, ((a + sin a cos a) / (a - sin a cos a)) **
    1/2; positivity and a filter make atoms rounder, neighbours and wrong angles longer. `_error` are by leaving out
    random parts of the atoms. The splines widen an atom of the width of one voxel by 1.5 %, of 1.25 voxels by 0.5 %.

    `width` of all is the Gaussian width of atoms to train or draw with. Where f(q)/f(0) of the element is applied to a
    Gaussian too, that must be `applied_width`, which then looks as wide; NaN for mixed or unknown elements.

    Of each atom the covariance follows from the second moments under the window of the average atom: `atom_width`
    along the axes, `stretch` = how much longer than the average atom it is where it is longest, `stretch_axis` that
    direction. `outlier` is how far `stretch` is above its median, in robust standard deviations; `flag` is 1 above
    `limit` (two atoms in one, an atom that is not well placed, an artefact), 2 where the moments are those of no peak.

    References
    ----------
    M. Radermacher, J. Electron Microsc. Tech. 9, 359 (1988), doi:10.1002/jemt.1060090405 (elongation); J. Lee, C.
    Jeong, Y. Yang, Nature Communications 12, 1962 (2021), doi:10.1038/s41467-021-22204-1 (widths of training data).
    """
    seen = brightness("measure.atom_shape", atoms, volume, params, memory)
    place, near = _places(seen, volume, params)
    outer = surface(seen.position, params.surface * neighbour_distance(seen.position))
    groups = _groups(atoms, outer)
    beam, expected = _wedge(volume)
    shapes = {name: gaussian(_mean(seen, one)[near], place[near]) for name, one in groups.items()}
    if not shapes["all"].known:
        text = "the average atom is no peak: are the atoms those of this volume?"
        warnings.warn(text, AetxWarning, stacklevel=2)
    made = _of_groups(seen, shapes, groups, place, near, beam, params)
    made |= {name: (*one[:2], _density(volume)) for name, one in made.items() if name in ("height", "background")}
    made |= _of_atoms(seen, shapes["all"], place, near, params)
    wide = np.array([_elements(atoms, one, shapes[name], place[near], beam) for name, one in groups.items()])
    length = made["elongation"][1]
    made |= {
        "applied_width": ("group", wide, ANGSTROM),
        "beam": ("axis", beam, ONE),
        "elongation_expected": ((), expected, ONE),
        "elongation_excess": ("group", length / expected, ONE),
        "radius": ((), float(np.linalg.norm(place[near], axis=1).max()), ANGSTROM),
        "on_surface": ("atom", outer, ONE),
        "average": (("group", "box_z", "box_y", "box_x"), _boxes(seen, groups, params), _density(volume)),
    }
    steps = np.arange(-params.half_size, params.half_size + 1) / params.oversampling
    axes = {f"box_{axis}": (f"box_{axis}", steps * spacing(volume, axis), ANGSTROM) for axis in "zyx"}
    labels = {"axis": ["x", "y", "z"], "group": list(groups), "atom": atoms["atom"].variable}
    return xr.Dataset(made, {**labels, **axes})


def _density(volume: xr.Dataset) -> dict[str, str]:
    return {"units": str(volume["density"].attrs["units"])}


def _places(seen: Brightness, volume: xr.Dataset, params: AtomShapeParams) -> tuple[F64, Mask]:
    """Return where the points of a box are, shape (points, 3), x, y, z in angstrom, and which are fitted."""
    steps = np.array([spacing(volume, axis) for axis in "zyx"]) / params.oversampling
    place = (seen.points * steps)[:, ::-1]
    distance = np.linalg.norm(place, axis=1)
    edge = float(steps.min()) * params.half_size
    radius = params.radius
    if radius is None:
        apart = neighbour_distance(seen.position)
        radius = min(REACH * apart, edge) if np.isfinite(apart) else edge
    near = distance <= radius + 1e-9
    if radius > edge + 1e-9 or near.sum() <= UNKNOWNS:
        found = f"{radius:g} angstrom: {int(near.sum())} points, in a box of {edge:g} angstrom to each side"
        wanted = f"more than {UNKNOWNS} points within the box"
        fix = "change 'radius', or raise 'half_size' and 'oversampling'"
        raise InputError(Problem("measure.atom_shape", "radius", found, wanted, fix))
    return place, near


def _groups(atoms: xr.Dataset, outer: Mask) -> dict[str, Mask]:
    species = atoms["species"].values
    groups = {"all": np.ones(species.size, bool), "surface": outer, "core": ~outer}
    for number in np.unique(species[species > 0]):
        groups[chemical_symbols[number]] = species == number
    return groups


def _wedge(volume: xr.Dataset) -> tuple[F64, float]:
    """Return the direction that the wedge is about, and the elongation along it; z and NaN without tilts."""
    if not all(name in volume.coords for name in ("phi", "theta", "psi")) or volume.sizes["tilt"] < 2:
        return np.array([0.0, 0.0, 1.0]), float("nan")
    beams = rotations(volume)[:, :, 2]
    middle = np.linalg.eigh(beams.T @ beams)[1][:, -1]
    middle *= np.sign(middle[np.abs(middle).argmax()])
    beams = beams * np.where(beams @ middle < 0, -1, 1)[:, None]
    half = np.rad2deg(np.arccos(np.clip((beams @ beams.T).min(), -1, 1))) / 2
    return middle, float(elongation(half)) if half > 0 else float("nan")


def _mean(seen: Brightness, chosen: Mask) -> F64:
    if not chosen.any():
        return np.full(len(seen.points), np.nan)
    return np.asarray(seen.boxes[chosen].mean(axis=0, dtype=np.float64))


def _boxes(seen: Brightness, groups: dict[str, Mask], params: AtomShapeParams) -> NDArray[np.float32]:
    """Return the average boxes, NaN beyond their ball, shape (groups, z, y, x)."""
    side = 2 * params.half_size + 1
    made = np.full((len(groups), side, side, side), np.nan, np.float32)
    z, y, x = (seen.points + params.half_size).T
    for i, one in enumerate(groups.values()):
        made[i, z, y, x] = _mean(seen, one)
    return made


def _widths(shape: Shape, beam: F64) -> F64:
    """Return the widths along x, y, z, along and across the beam, and the elongation, shape (6,)."""
    if not shape.known:
        return np.full(6, np.nan)
    along, across = along_and_across(shape.covariance, beam)
    return np.array([*np.sqrt(np.diag(shape.covariance)), along, across, along / across])


def _errors(seen: Brightness, chosen: Mask, place: F64, near: Mask, beam: F64, params: AtomShapeParams) -> F64:
    """Return the standard errors of `_widths` by leaving out random parts; NaN with fewer atoms than parts."""
    rows = np.flatnonzero(chosen)
    if rows.size < params.parts:
        return np.full(6, np.nan)
    part = np.random.default_rng(params.seed).permutation(rows.size) % params.parts
    sums = np.stack([seen.boxes[rows[part == i]][:, near].sum(axis=0, dtype=np.float64) for i in range(params.parts)])
    counts = np.bincount(part, minlength=params.parts)
    left = (sums.sum(axis=0) - sums) / (rows.size - counts)[:, None]
    told = np.stack([_widths(gaussian(one, place[near]), beam) for one in left])
    return np.asarray(np.sqrt((params.parts - 1) * told.var(axis=0)))


def _of_groups(
    seen: Brightness,
    shapes: dict[str, Shape],
    groups: dict[str, Mask],
    place: F64,
    near: Mask,
    beam: F64,
    params: AtomShapeParams,
) -> Table:
    widths = np.stack([_widths(one, beam) for one in shapes.values()])
    errors = np.stack([_errors(seen, one, place, near, beam, params) for one in groups.values()])
    size, turned = np.full((len(groups), 3), np.nan), np.full((len(groups), 3, 3), np.nan)
    for i, one in enumerate(shapes.values()):
        if one.known:
            values, vectors = np.linalg.eigh(one.covariance)
            size[i], turned[i] = np.sqrt(values[::-1]), vectors[:, ::-1].T
    height, floor = (np.array([getattr(one, name) for one in shapes.values()]) for name in ("height", "background"))
    with np.errstate(invalid="ignore"):
        away = np.rad2deg(np.arccos(np.clip(np.abs(turned[:, 0] @ beam), 0, 1)))
    made: Table = {
        "atoms": ("group", np.array([int(one.sum()) for one in groups.values()]), ONE),
        "height": ("group", height, ONE),
        "background": ("group", floor, ONE),
        "background_over_height": ("group", floor / height, ONE),
        "centre": (("group", "axis"), np.stack([one.centre for one in shapes.values()]), ANGSTROM),
        "principal": (("group", "principal"), size, ANGSTROM),
        "principal_axis": (("group", "principal", "axis"), turned.astype(np.float32), ONE),
        "anisotropy": ("group", size[:, 0] / size[:, 2], ONE),
        "longest_from_beam": ("group", away, DEGREE),
    }
    for values, suffix in ((widths, ""), (errors, "_error")):
        made[f"width_axis{suffix}"] = (("group", "axis"), values[:, :3], ANGSTROM)
        made[f"width_along{suffix}"] = ("group", values[:, 3], ANGSTROM)
        made[f"width{suffix}"] = ("group", values[:, 4], ANGSTROM)
        made[f"elongation{suffix}"] = ("group", values[:, 5], ONE)
    return made


def _of_atoms(seen: Brightness, average: Shape, place: F64, near: Mask, params: AtomShapeParams) -> Table:
    count = len(seen.boxes)
    if average.known:
        covariance = moments(seen.boxes[:, near], place[near], average)
        stretch, axis = stretches(covariance, average.covariance)
    else:
        covariance = np.full((count, 3, 3), np.nan)
        stretch, axis = np.full(count, np.nan), np.full((count, 3), np.nan)
    away = outliers(stretch)
    flag = np.where(away > params.limit, LONG, 0) + np.where(np.isfinite(stretch), 0, ODD)
    return {
        "atom_width": (("atom", "axis"), np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)), ANGSTROM),
        "stretch": ("atom", stretch, ONE),
        "stretch_axis": (("atom", "axis"), axis, ONE),
        "outlier": ("atom", away, ONE),
        "flag": ("atom", flag.astype(np.int32), ONE),
        "flagged": ((), int((flag > 0).sum()), ONE),
    }


def _elements(atoms: xr.Dataset, chosen: Mask, shape: Shape, place: F64, beam: F64) -> float:
    """Return the width to apply before the scattering factor of a group's element; NaN where it has no single one."""
    numbers = np.unique(atoms["species"].values[chosen])
    if numbers.size != 1 or not 0 < numbers[0] <= ELEMENTS or not shape.known:
        return float("nan")
    across = along_and_across(shape.covariance, beam)[1]
    return applied(int(numbers[0]), across, np.linalg.norm(place, axis=1), background=True)
