"""Whether the specimen changed while its images were taken."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field
from scipy.spatial.transform import Rotation

from aetx.core import Angle, Forecast, Frequency, InputSizes, optional, stage
from aetx.core.drawing import AtomParams, Drawing, posed, refined
from aetx.core.tomography import pixel_size, rotations
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels.agreement import agreement
from aetx.kernels.repeats import UNKNOWN, Likeness, Trend, chance, likeness, trend
from aetx.kernels.surface import neighbour_distance, surface
from aetx.model import ATOMS, SCORE, TILT_SERIES, same_grid

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]
Table = dict[str, tuple[Any, ...]]

ONE, ANGSTROM, DEGREE, DOSE = ({"units": unit} for unit in ("1", "angstrom", "degree", "e/angstrom**2"))
POSES = ("phi", "theta", "psi")
MEASURES = ("total", "r1", "scale", "surface")
"""What is followed: the sum of an image, how the atoms agree with it, their scale in it, surface atoms over core."""
FEW = 4
"""Fewest atoms on the surface, and in the core, whose heights are compared."""


class DamageParams(AtomParams):
    """Parameters of `damage`."""

    order: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (), max_length=10_000, description="place of each image in the order of acquisition; left out, as they lie"
    )
    angle: Angle = Field(1.0, gt=0, le=30, description="greatest angle between two poses that count as the same")
    apart: float = Field(0.5, gt=0, le=1, description="least share of the acquisition between two images of one pose")
    finest: Frequency = Field(0.25, gt=0, le=10, description="frequency from which on the fine power is compared")
    surface: float = Field(
        1.26,
        gt=0.5,
        le=10,
        description="radius of the alpha shape that tells surface from core, in median distances of nearest neighbours",
    )
    level: float = Field(0.005, gt=0, lt=0.5, description="chance of error at which a change counts as seen")


class Taken(NamedTuple):
    """All images in the order in which they lie: those of the series, then those taken last."""

    image: F64
    trusted: Mask
    variance: F64 | None
    counts: bool
    """The variance is that of counts, from the images themselves."""
    turned: F64
    shift: F64
    order: F64
    """Place in time, from 0."""
    dose: F64
    """Electrons per area before each image, angstrom**-2; NaN where they are not known."""
    source: I64
    """0 of the series, 1 of those taken last."""
    tilt: I64


def _forecast(inputs: InputSizes, _: DamageParams) -> Forecast:
    tilts = sum(one.get("tilt", 1) for name in ("series", "last") for one in inputs.get(name, ()))
    y, x = (inputs["series"][0].get(axis, 1) for axis in "yx")
    atoms = inputs["atoms"][0].get("atom", 1) if inputs.get("atoms") else 0
    seconds = 0.1 + tilts * (y * x * 1e-6 + atoms * 3e-6) + 60 * (atoms * 2e-6 + y * x * 2e-7)
    return Forecast({"image": tilts, "measure": len(MEASURES)}, 60_000_000 + tilts * y * x * 80 + atoms * 500, seconds)


@stage(
    "measure.damage",
    takes={"series": TILT_SERIES, "last": optional(TILT_SERIES), "atoms": optional(ATOMS)},
    gives=SCORE,
    params=DamageParams,
    version=1,
    forecast=_forecast,
)
def damage(series: xr.Dataset, last: xr.Dataset | None, atoms: xr.Dataset | None, params: DamageParams) -> xr.Dataset:
    """Compare images of one pose from early and late, and follow what changes with the order of acquisition.

    Pairs: images whose poses are within `angle` and that lie `apart` in the order (the tilt index, unless `order` says
    another; images of `last` come after the series). The later one is moved by `shift`, found by cross-correlation, and
    multiplied by `scale`, of least squares. `correlation`; `r1` = sum|a - k b| / sum|a|; `misfit` = sum (a - k b)**2
    over the sum of its variance, 1 where only noise differs (of counts, or where the series has a `variance`; else
    NaN); `total`, `size` and `fine` are later over earlier, of the sums, of the radii of gyration, and of the powers
    beyond `finest`, noise taken off. With atoms, the poses of both are fitted to their images: `turn` is the rotation
    about the camera's x, y, z from the earlier to the later, and `r1_first`, `r1_last` are those of the atoms then,
    so that a pose that did not return is not taken for damage.

    Trends: values = a + b sin(tilt)**2 + `change` times the order from 0 to 1, in least squares, with its
    `change_error`, wider where neighbours scatter alike, and `chance`, the two-sided p of Student's t. Followed are
    `total`, the sum of each image over the mean (the same at all tilts for a specimen within the field of view); with
    atoms `r1`, their `scale` over the mean, and `surface`, the height of surface over that of core atoms. Atoms that
    were refined against all images hide part of a change: the trend of `r1` is then that about the middle.

    What changes evenly with theta is not told from the dose where images are taken from one end of the range to the
    other: return to a pose, or alternate. Beam current moves `total` and `scale`, not the others. A pair that differs
    may be a pose that was not reached again. `dose` is the sum of that of all images before each (NaN where the series
    does not say).

    `changed` is 1 where any chance is below `level` over the number of tests, 0 where none is, NaN where nothing could
    be tested: without two images of one pose, and with too few images for a trend.

    References
    ----------
    R. F. Egerton, P. Li, M. Malac, Micron 35, 399 (2004), doi:10.1016/j.micron.2004.02.003 (radiation damage).
    """
    taken = _taken(series, last, atoms, params)
    pairs = _pairs(taken, params)
    step = pixel_size(series)
    told = [_alike(taken, i, j, params.finest * step) for i, j in pairs]
    made = _of_pairs(taken, pairs, told, step)
    values, followed = np.full((len(MEASURES), len(taken.order)), np.nan), {}
    values[0] = _totals(taken)
    drawing = None if atoms is None else Drawing.of("measure.damage", atoms, series, params)
    if drawing is not None:
        values[1:] = _followed(taken, drawing, params)
    made |= _turns(taken, pairs, drawing)
    tilted = 1 - np.einsum("ni,i->n", taken.turned[:, :, 2], _middle(taken.turned)) ** 2
    when = taken.order / max(taken.order.max(), 1)
    followed = {name: trend(row, when, tilted[:, None]) for name, row in zip(MEASURES, values, strict=True)}
    made |= _of_trends(values, followed)
    chances = np.array([*made["misfit_chance"][1], *(one.chance for one in followed.values())])
    chances = chances[np.isfinite(chances)]
    made["changed"] = ((), float((chances < params.level / chances.size).any()) if chances.size else np.nan, ONE)
    made["dose"] = ("image", taken.dose, DOSE)
    made["order"] = ("image", taken.order, ONE)
    if not len(pairs) and not chances.size:
        text = "nothing tells of damage: no pose was taken twice, and there are too few images for a trend"
        warnings.warn(text, AetxWarning, stacklevel=2)
    coords = {
        "image": ("image", np.arange(len(taken.order)), ONE),
        "tilt_of": ("image", taken.tilt, ONE),
        "taken_last": ("image", taken.source, ONE),
        "measure": list(MEASURES),
        "axis": ["x", "y", "z"],
    }
    return xr.Dataset(made, coords)


def _taken(series: xr.Dataset, last: xr.Dataset | None, atoms: xr.Dataset | None, params: DamageParams) -> Taken:
    parts = [series] if last is None else [series, last]
    if last is not None and not same_grid(series, last, ("y", "x")):
        fix = "bin and cut both alike"
        raise InputError(Problem("measure.damage: last", "y, x", "another grid", "the pixels of the series", fix))
    if last is not None and last["image"].attrs["units"] != series["image"].attrs["units"]:
        found, wanted = (str(one["image"].attrs["units"]) for one in (last, series))
        raise InputError(Problem("measure.damage: last", "image", found, wanted, "normalise both alike"))
    count = series.sizes["tilt"]
    order = np.arange(count) if not params.order else np.argsort(np.argsort(params.order, kind="stable"))
    if len(order) != count or len(set(params.order)) not in (0, count):
        found, fix = f"{len(params.order)} places for {count} images", "give each image one place of its own"
        raise InputError(Problem("measure.damage", "order", found, f"{count} different ones", fix))
    poses = [(rotations(series), np.zeros((count, 2))) if atoms is None else refined(atoms, series)]
    if last is not None:
        order = np.concatenate([order, count + np.arange(last.sizes["tilt"])])
        poses.append((rotations(last), np.zeros((last.sizes["tilt"], 2))))
    image = np.concatenate([one["image"].transpose("tilt", "y", "x").values.astype(np.float64) for one in parts])
    trusted = np.concatenate([_trusted(one) for one in parts])
    if not np.isfinite(image[trusted]).all():
        fix = "mask those pixels or leave the images out"
        raise InputError(Problem("measure.damage: series", "image", "values that are not finite", "finite ones", fix))
    each = np.concatenate([_dose(one) for one in parts])
    before = np.empty(len(order))
    before[np.argsort(order)] = np.concatenate([[0.0], np.cumsum(each[np.argsort(order)])[:-1]])
    return Taken(
        image=np.where(trusted, image, 0.0),
        trusted=trusted,
        variance=_variance(parts, image),
        counts=not _stated(parts) and parts[0]["image"].attrs["units"] == "count",
        turned=np.concatenate([one[0] for one in poses]),
        shift=np.concatenate([one[1] for one in poses]),
        order=order.astype(float),
        dose=before if np.isfinite(each).all() else np.full(len(order), np.nan),
        source=np.repeat(np.arange(len(parts)), [one.sizes["tilt"] for one in parts]),
        tilt=np.concatenate([one["tilt"].values.astype(np.int64) for one in parts]),
    )


def _trusted(series: xr.Dataset) -> Mask:
    if "mask" not in series:
        return np.ones([series.sizes[axis] for axis in ("tilt", "y", "x")], bool)
    return np.asarray(series["mask"].transpose("tilt", "y", "x").values.astype(bool))


def _dose(series: xr.Dataset) -> F64:
    if "dose" not in series:
        return np.full(series.sizes["tilt"], np.nan)
    return np.asarray(series["dose"].values, np.float64)


def _stated(parts: list[xr.Dataset]) -> bool:
    return all("variance" in one for one in parts)


def _variance(parts: list[xr.Dataset], image: F64) -> F64 | None:
    if _stated(parts):
        stacked = [one["variance"].transpose("tilt", "y", "x").values.astype(np.float64) for one in parts]
        return np.concatenate(stacked)
    return np.maximum(image, 0.0) if parts[0]["image"].attrs["units"] == "count" else None


def _pairs(taken: Taken, params: DamageParams) -> list[tuple[int, int]]:
    """Return earlier and later images of one pose, farthest apart in time first; no image is in two pairs."""
    trace = np.einsum("nij,mij->nm", taken.turned, taken.turned)
    angle = np.rad2deg(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
    late = taken.order[None] - taken.order[:, None]
    least = params.apart * max(taken.order.max(), 1)
    first, second = np.nonzero((angle <= params.angle) & (late >= least))
    used: set[int] = set()
    found = []
    for k in np.lexsort((angle[first, second], -late[first, second])):
        pair = int(first[k]), int(second[k])
        if not used & set(pair):
            used |= set(pair)
            found.append(pair)
    return found


def _alike(taken: Taken, i: int, j: int, finest: float) -> Likeness:
    variance = None if taken.variance is None else (taken.variance[i], taken.variance[j])
    return likeness(taken.image[i], taken.image[j], taken.trusted[i] & taken.trusted[j], variance, taken.counts, finest)


def _of_pairs(taken: Taken, pairs: list[tuple[int, int]], told: list[Likeness], step: float) -> Table:
    ends = np.array(pairs, np.int64).reshape(-1, 2)
    angle = [Rotation.from_matrix(taken.turned[i].T @ taken.turned[j]).magnitude() for i, j in pairs]
    shift = np.array([one.shift[::-1] for one in told]).reshape(-1, 2) * step
    odds = [chance(one.misfit - 1, one.misfit_error) if one.misfit > 1 else 1.0 for one in told]
    unknown = np.array([not np.isfinite(one.misfit) for one in told], bool)
    made: Table = {
        "first": ("pair", ends[:, 0], ONE),
        "later": ("pair", ends[:, 1], ONE),
        "pose_angle": ("pair", np.rad2deg(np.array(angle, float)), DEGREE),
        "dose_between": ("pair", taken.dose[ends[:, 1]] - taken.dose[ends[:, 0]], DOSE),
        "shift_x": ("pair", shift[:, 0], ANGSTROM),
        "shift_y": ("pair", shift[:, 1], ANGSTROM),
        "misfit_chance": ("pair", np.where(unknown, np.nan, np.array(odds, float)), ONE),
    }
    for name in ("scale", "correlation", "r1", "total", "total_error", "size", "fine", "fine_error"):
        made[name] = ("pair", np.array([getattr(one, name) for one in told], float), ONE)
    for name in ("misfit", "misfit_error"):
        made[name] = ("pair", np.array([getattr(one, name) for one in told], float), ONE)
    return made


def _totals(taken: Taken) -> F64:
    """Return the sum of each image over the mean; NaN where parts of one are hidden."""
    whole = taken.trusted.all(axis=(1, 2))
    total = np.where(whole, taken.image.sum(axis=(1, 2)), np.nan)
    middle = np.nanmean(total) if whole.any() else np.nan
    return np.asarray(total / middle if middle else np.full(total.size, np.nan))


def _middle(turned: F64) -> F64:
    """Return the direction nearest to all beams."""
    beams = turned[:, :, 2]
    return np.asarray(np.linalg.eigh(beams.T @ beams)[1][:, -1])


def _followed(taken: Taken, drawing: Drawing, params: DamageParams) -> F64:
    """Return R1 of the atoms, their scale over the mean, and the height of surface over core, shape (3, images)."""
    outer = surface(drawing.place, params.surface * neighbour_distance(drawing.place))
    parts = [drawing.images(taken.turned, taken.shift, one) for one in (outer, ~outer)]
    observed = taken.image.astype(np.float32)
    found = agreement(parts[0] + parts[1], observed, taken.trusted, "tilt")
    ratio = np.full(len(observed), np.nan)
    if min(outer.sum(), (~outer).sum()) >= FEW:
        for i, seen in enumerate(taken.trusted):
            columns = np.stack([one[i][seen].astype(float) for one in parts] + [np.ones(int(seen.sum()))], axis=1)
            rim, core, _ = np.linalg.lstsq(columns, taken.image[i][seen], rcond=None)[0]
            ratio[i] = rim / core if core > 0 else np.nan
    return np.stack([found.r1, found.scale / np.nanmean(found.scale), ratio])


def _turns(taken: Taken, pairs: list[tuple[int, int]], drawing: Drawing | None) -> Table:
    """Return the turn between the images of each pair by the atoms, and how these agree with both."""
    turn, error = np.full((2, len(pairs), 3), np.nan)
    r1 = np.full((len(pairs), 2), np.nan)
    for k, pair in enumerate(pairs if drawing is not None else []):
        assert drawing is not None
        ends = [posed(drawing, taken.turned[i], taken.shift[i], taken.image[i], taken.trusted[i]) for i in pair]
        turn[k] = Rotation.from_matrix(ends[0].turned.T @ ends[1].turned).as_rotvec(degrees=True)
        error[k] = np.rad2deg(np.hypot(ends[0].error, ends[1].error))
        r1[k] = ends[0].r1, ends[1].r1
    return {
        "turn": (("pair", "axis"), turn, DEGREE),
        "turn_error": (("pair", "axis"), error, DEGREE),
        "r1_first": ("pair", r1[:, 0], ONE),
        "r1_last": ("pair", r1[:, 1], ONE),
    }


def _of_trends(values: F64, followed: dict[str, Trend]) -> Table:
    made: Table = {"value": (("measure", "image"), values, ONE)}
    for name, field in (("change", "change"), ("change_error", "error"), ("chance", "chance")):
        rows = np.array([getattr(followed.get(one, UNKNOWN), field) for one in MEASURES])
        made[name] = ("measure", rows, ONE)
    return made
