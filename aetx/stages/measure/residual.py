"""What atoms leave of the images unexplained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, Length, Params, stage
from aetx.core.atoms import column_of, elements_of, finite_positions
from aetx.core.tilts import NAMES
from aetx.core.tomography import origin, pixel_size
from aetx.errors import InputError, Problem
from aetx.kernels import rendering
from aetx.model import ATOMS, TILT_SERIES

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

OF_TILT = ("shift_x", "shift_y", "scale", "background")
"""What refined atoms know of each image beside its angles."""
STRETCH = ("xx", "yy", "xy")
"""Parts of the symmetric distortion of an image, which turns p into (1 + stretch) p."""


class ResidualParams(Params):
    """Parameters of `residual`."""

    profile: Literal["kirkland", "gaussian"] = Field(
        "kirkland", description="shape of an atom: a Gaussian, or that with the element's scattering factor f(q)/f(0)"
    )
    width: Length = Field(
        0.45, gt=0, le=10, description="Gaussian standard deviation of atoms that bring no width of their own"
    )
    gain: float | None = Field(
        None,
        gt=0,
        le=1e9,
        description="variance of a pixel over its mean, 1 for counts; none for what the residuals themselves show",
    )
    offset: float = Field(
        0.0, ge=0, le=1e9, description="what was taken off every pixel, and adds to its variance: image units"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.offset and self.gain is None:
            raise ValueError("an offset needs a gain")
        return self


def _forecast(inputs: InputSizes, params: ResidualParams) -> Forecast:
    sizes = {axis: inputs["series"][0].get(axis, 1) for axis in ("tilt", "y", "x")}
    atoms, area = inputs["atoms"][0].get("atom", 1), sizes["y"] * sizes["x"]
    finer = 25 if params.profile == "kirkland" else 1
    seconds = sizes["tilt"] * (atoms * 4e-7 + area * finer * 4e-9) + 0.1
    return Forecast(sizes, memory=2 * area * (40 + 2 * finer) + atoms * 400, seconds=seconds)


@stage(
    "measure.residual",
    takes={"atoms": ATOMS, "series": TILT_SERIES},
    gives=TILT_SERIES,
    params=ResidualParams,
    version=1,
    flow="chunkwise",
    chunks={"tilt": 1, "y": -1, "x": -1},
    forecast=_forecast,
)
def residual(atoms: xr.Dataset, series: xr.Dataset, params: ResidualParams) -> xr.Dataset:
    """Images of atoms beside those that were measured, and the difference in standard deviations of the noise.

    With the image o, the picture c of the atoms as Gaussians of their `width` and `intensity` (their integral), a scale
    k and a background b of each image, and the variance v of each pixel,

        model = k c + b,   residual = (o - model) / v ** 1/2,   r1 = sum |o - model| / sum |o|,

    and `chi_square` is the mean of residual**2 over the pixels: 1 where the model and the variance are right. Refined
    atoms bring the angles, the shifts, the stretch, the scale and the background of each image; what they do not bring
    is taken from the series, a shift of 0, and scale and background by least squares. A width that is not there is
    `width`, an intensity that is not there the same for all.

    The variance is that of the series; else `gain` (max(model, 0) + offset); else, where no gain is stated, the line
    a + b max(model, 0), a and b not negative, that fits the squared differences of an image best, and `chi_square` is
    NaN, as it says nothing. A mask is honoured: the residual is NaN beyond it. Lazy, image by image; the result is a
    series, its `image` the measured one and its angles those of the model.

    References
    ----------
    A. Pryor et al., Sci. Rep. 7, 10409 (2017), doi:10.1038/s41598-017-09847-1 (R1).
    """
    if params.gain is not None and "variance" in series:
        fix = "leave gain out"
        problem = Problem("measure.residual", "gain", "stated beside a series with a variance", "one of the two", fix)
        raise InputError(problem)
    known = _images(atoms, series)
    scene = _scene(atoms, series, params)
    given = [series["image"], *(series[name] for name in ("mask", "variance") if name in series)]
    columns = [known[name] for name in (*NAMES, *OF_TILT, *STRETCH)]
    poses = xr.DataArray(np.stack(columns, axis=1), dims=("tilt", "pose"))
    model, rest, *numbers = xr.apply_ufunc(
        _compared,
        *given,
        poses,
        kwargs={"scene": scene, "gain": params.gain, "offset": params.offset, "mask": "mask" in series},
        input_core_dims=[["y", "x"]] * len(given) + [["pose"]],
        output_core_dims=[["y", "x"], ["y", "x"], [], [], [], []],
        dask="parallelized",
        output_dtypes=[np.float32, np.float32, *[np.float64] * 4],
    )
    unit, one, grid = {"units": series["image"].attrs["units"]}, {"units": "1"}, ("tilt", "y", "x")
    r1, chi_square, scale, background = (number.data for number in numbers)
    angles = {name: ("tilt", known[name], {"units": "degree"}) for name in NAMES}
    return series.assign_coords(angles).assign(
        model=(grid, model.transpose(*grid).data, unit),
        residual=(grid, rest.transpose(*grid).data, one),
        r1=("tilt", r1, one | {"long_name": "R1 of each image"}),
        chi_square=("tilt", chi_square, one),
        scale=("tilt", scale, one),
        background=("tilt", background, unit),
    )


@dataclass(frozen=True)
class Scene:
    """The atoms, and the pixels on which they are drawn; lengths in angstrom."""

    position: F64
    """From the rotation centre, shape (atoms, 3)."""
    height: F64
    """Integral of each atom over an image in units of the image times pixels, shape (atoms,)."""
    width: F64
    species: NDArray[np.int32] | None
    """Atomic numbers where atoms have their scattering factors."""
    corner: F64
    step: float

    def image(self, angles: F64, shift: F64, stretch: F64, rows: int, columns: int) -> F32:
        """Draw the atoms; angles in degree, shift of the rotation centre, stretch xx, yy and xy."""
        turned = rendering.to_camera(self.position, *np.deg2rad(angles))[:, :2]
        xx, yy, xy = stretch
        turned = turned @ np.array([[1 + xx, xy], [xy, 1 + yy]])
        seen = np.ascontiguousarray(((turned + shift - self.corner) / self.step).T)
        width = self.width / self.step
        if self.species is None:
            return rendering.render(seen[0], seen[1], self.height, width, rows, columns)
        return rendering.scattered(seen[0], seen[1], self.height, width, self.species, self.step, rows, columns)


def _images(atoms: xr.Dataset, series: xr.Dataset) -> dict[str, F64]:
    """Return angles, shifts, scale and background of each image; NaN for a scale and a background to be fitted."""
    count = series.sizes["tilt"]
    known: dict[str, F64] = {name: series[name].values.astype(float) for name in NAMES}
    known |= {name: np.full(count, np.nan if name in ("scale", "background") else 0.0) for name in (*OF_TILT, *STRETCH)}
    if "tilt" not in atoms.dims:
        return known
    missing = sorted(set(series["tilt"].values.tolist()) - set(atoms["tilt"].values.tolist()))
    if missing:
        found = f"{len(missing)} images that the atoms know nothing of, the first {missing[0]}"
        fix = "give the series that the atoms were refined to, or a part of it"
        raise InputError(Problem("measure.residual: atoms", "tilt", found, "all images of the series", fix))
    refined = atoms.sel(tilt=series["tilt"].values)
    if "stretch" in refined:
        known |= {name: refined["stretch"].sel(component=name).values.astype(float) for name in STRETCH}
    return known | {name: refined[name].values.astype(float) for name in known if name in refined.variables}


def _scene(atoms: xr.Dataset, series: xr.Dataset, params: ResidualParams) -> Scene:
    stage, step, centre = "measure.residual", pixel_size(series), origin(series)
    position = finite_positions(f"{stage}: atoms", atoms) - np.array([centre[axis] for axis in "xyz"])
    height, width = np.ones(len(position)), np.full(len(position), params.width)
    if "intensity" in atoms:
        height = column_of(stage, atoms, "intensity") / step**2
    if "width" in atoms:
        width = column_of(stage, atoms, "width", above=0)
    corner = np.array([float(series["x"][0]), float(series["y"][0])])
    species = elements_of(stage, atoms) if params.profile == "kirkland" else None
    return Scene(position, height, width, species, corner, step)


def _compared(
    image: F32, *further: Any, scene: Scene, gain: float | None, offset: float, mask: bool
) -> tuple[Any, ...]:
    """Return model, residual, R1, chi square, scale and background of images of shape (tilts, y, x)."""
    *rest, poses = further
    trusted = rest[0].astype(bool) if mask else np.ones(image.shape, bool)
    variance = rest[-1] if len(rest) > mask else None
    made = [
        _one(
            image[i].astype(np.float32),
            trusted[i],
            None if variance is None else variance[i],
            pose,
            scene,
            gain,
            offset,
        )
        for i, pose in enumerate(poses)
    ]
    return tuple(np.stack(part) for part in zip(*made, strict=True))


def _one(
    image: F32, seen: NDArray[np.bool_], known: F32 | None, pose: F64, scene: Scene, gain: float | None, offset: float
) -> tuple[Any, ...]:
    seen = seen & np.isfinite(image)
    drawn = scene.image(pose[:3], pose[3:5], pose[7:], *image.shape)
    scale, background = _levels(drawn[seen], image[seen], pose[5], pose[6])
    model = np.float32(scale) * drawn + np.float32(background)
    rest = np.where(seen, image - model, np.float32(np.nan))
    bright = np.maximum(model, 0)
    variance = known if known is not None else bright * (gain or 0) + np.float32((gain or 0) * offset)
    if known is None and gain is None:
        floor, slope = _line(bright[seen], rest[seen] ** 2)
        variance = np.float32(floor) + np.float32(slope) * bright
    sound = seen & (variance > 0)
    scaled = np.where(sound, rest / np.sqrt(np.where(sound, variance, 1)), np.float32(np.nan)).astype(np.float32)
    total = float(np.abs(image[seen]).sum(dtype=float))
    r1 = float(np.abs(rest[seen]).sum(dtype=float)) / total if total > 0 else np.nan
    stated = known is not None or gain is not None
    chi_square = float(np.square(scaled[sound], dtype=float).mean()) if stated and sound.any() else np.nan
    return model, scaled, r1, chi_square, scale, background


def _levels(drawn: F32, image: F32, scale: float, background: float) -> tuple[float, float]:
    """Return scale and background: those given, or by least squares where they are NaN."""
    columns = [values for values, told in ((drawn, scale), (np.ones_like(drawn), background)) if np.isnan(told)]
    if not columns or not drawn.size:
        return float(np.nan_to_num(scale, nan=1.0)), float(np.nan_to_num(background))
    left = image - (0 if np.isnan(scale) else scale) * drawn - (0 if np.isnan(background) else background)
    found = list(np.linalg.lstsq(np.stack(columns, axis=1).astype(float), left.astype(float), rcond=None)[0])
    return (
        float(found.pop(0)) if np.isnan(scale) else scale,
        float(found.pop(0)) if np.isnan(background) else background,
    )


def _line(bright: F32, square: F32) -> tuple[float, float]:
    """Return floor and slope, neither negative, of the line that fits the squared differences best."""
    if not bright.size:
        return 0.0, 0.0
    table = np.stack([np.ones_like(bright), bright], axis=1).astype(float)
    floor, slope = np.linalg.lstsq(table, square.astype(float), rcond=None)[0]
    if floor < 0:
        return 0.0, float((bright * square).sum(dtype=float) / np.square(bright, dtype=float).sum())
    return (float(square.mean(dtype=float)), 0.0) if slope < 0 else (float(floor), float(slope))
