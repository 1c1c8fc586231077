"""R factors of a volume, or of atoms, against images."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, Length, Params, optional, stage
from aetx.core.atoms import column_of, elements_of, finite_positions
from aetx.core.projected import compared, projected, volume_grid
from aetx.core.tomography import forecast_bytes, grid, origin, pixel_size, rotations
from aetx.errors import AetxWarning, InputError, Problem
from aetx.kernels import rendering
from aetx.kernels.agreement import agreement, heights
from aetx.kernels.projection import F64, Grid, Projector
from aetx.kernels.reconstruction import mean_of_seen
from aetx.model import ATOMS, SCORE, TILT_SERIES, VOLUME, units

F32 = NDArray[np.float32]
Table = dict[str, tuple[Any, ...]]

SHAPE = ("profile", "width", "columns")
"""Parameters that say how an atom looks."""


class RFactorParams(Params):
    """Parameters of `r_factor`."""

    extended: bool = Field(
        False, description="the specimen goes on beyond the volume: compare only pixels whose whole ray lies in it"
    )
    scale: Literal["none", "tilt", "global"] = Field(
        "none", description="factor of the computed images, by least squares: none, one for each tilt, or one for all"
    )
    profile: Literal["gaussian", "kirkland"] = Field(
        "kirkland", description="shape of an atom: a Gaussian, or that with the element's scattering factor f(q)/f(0)"
    )
    width: Length = Field(0.45, gt=0, le=10, description="Gaussian standard deviation of an atom in the image")
    columns: tuple[Literal["width", "intensity"], ...] = Field(
        (),
        max_length=2,
        description="columns of the atoms that say the width, or the integral, of each; without the intensity one "
        "height for each element is fitted",
    )

    @model_validator(mode="after")
    def _stated_once(self) -> Self:
        if "width" in self.columns and "width" in self.model_fields_set:
            raise ValueError("either the column width or width, not both")
        return self


def _forecast(inputs: InputSizes, _: RFactorParams) -> Forecast:
    series = inputs["series"][0]
    tilts, y, x = (series.get(axis, 1) for axis in ("tilt", "y", "x"))
    images = tilts * y * x
    if not inputs.get("volume"):
        atoms = inputs["atoms"][0].get("atom", 1) if inputs.get("atoms") else 1
        return Forecast({"tilt": tilts}, images * 60 + atoms * 500, tilts * (atoms * 1e-6 + y * x * 1e-6) + 0.1)
    box = tuple(inputs["volume"][0].get(axis, 1) for axis in "zyx")
    seconds = tilts * np.prod(box, dtype=float) * 1e-9 + 0.5
    return Forecast({"tilt": tilts}, forecast_bytes(tilts, box, (y, x)), seconds)


@stage(
    "measure.r_factor",
    takes={"series": TILT_SERIES, "volume": optional(VOLUME), "atoms": optional(ATOMS)},
    gives=SCORE,
    params=RFactorParams,
    version=2,
    forecast=_forecast,
)
def r_factor(
    series: xr.Dataset, volume: xr.Dataset | None, atoms: xr.Dataset | None, params: RFactorParams, *, device: str
) -> xr.Dataset:
    """R factors of a volume, or of atoms, against the images of a series.

    With the computed image c, the image o and the scale k, over the `pixels` compared, for each tilt

        r1 = sum |k c - o| / sum |o|,    r2 = (sum (k c - o)**2 / sum o**2) ** 1/2,
        r_fourier = sum ||k C| - |O|| / sum |O|

    with the Fourier transforms C and O; `mean_` is the mean over the tilts, `global_` takes the sums over all tilts
    before the ratio. NaN where nothing can be compared. A mask of the series is honoured. R depends on how much empty
    background is compared, on noise and on the scale: compare it at equal ones. Of a series that was held out of a
    reconstruction or a fit, this is its free R.

    A volume is projected as it is; its coordinates say where it lies, and for a sub-area the series' `origin` is where
    its rotation centre is. For a film, `extended` leaves out pixels, and so whole tilts, whose rays leave the volume at
    its sides: what lies beyond is not known.

    Atoms are drawn as Gaussians of a `width`, with `profile: kirkland` times f(q) / f(0) of their element. One
    `height` for each element, an integral over the image, is fitted to all images by least squares, unless each
    atom's own `intensity` is asked for.

    References
    ----------
    J. Lee, C. Jeong, Y. Yang, Nature Communications 12, 1962 (2021), doi:10.1038/s41467-021-22204-1 (R1, Kirkland
    profiles); A. Pryor et al., Sci. Rep. 7, 10409 (2017), doi:10.1038/s41598-017-09847-1 (Fourier).
    """
    if (volume is None) == (atoms is None):
        found = "neither" if volume is None else "both"
        raise InputError(Problem("measure.r_factor", "from", found, "a volume or atoms", "name one of the two"))
    step, turned, image = pixel_size(series), rotations(series), grid(series, "yx", pixel_size(series))
    observed = series["image"].transpose("tilt", "y", "x").values.astype(np.float32)
    made: Table = {}
    if volume is not None:
        named = sorted(set(SHAPE) & params.model_fields_set)
        if named:
            fix = "leave them out, or give atoms"
            raise InputError(Problem("measure.r_factor", ", ".join(named), "a volume", "atoms", fix))
        box = volume_grid(volume, step, series)
        trusted = compared(series, params.extended, turned, image, box)
        computed = projected(volume, Projector(turned, box, image, device)) * np.float32(step)
    else:
        assert atoms is not None
        trusted = compared(series, params.extended, turned, image, _atoms_grid(atoms, step, series))
        computed, made = _drawn(atoms, series, observed, trusted, params)
    score = agreement(computed, observed, trusted, params.scale)
    if not score.pixels.all():
        text = f"{int((score.pixels == 0).sum())} of {len(turned)} tilts have no pixel to compare: R is NaN there"
        warnings.warn(text, AetxWarning, stacklevel=2)
    one = {"units": "1"}
    for name in ("r1", "r2", "r_fourier"):
        made[name] = ("tilt", getattr(score, name), one)
        made[f"mean_{name}"] = ((), mean_of_seen(getattr(score, name)), one)
    made["global_r1"], made["global_r2"] = ((), score.global_r1, one), ((), score.global_r2, one)
    made["scale"], made["pixels"] = ("tilt", score.scale, one), ("tilt", score.pixels, one)
    return xr.Dataset(made, {name: series[name].variable for name in ("tilt", "phi", "theta", "psi")})


def _placed(atoms: xr.Dataset, series: xr.Dataset) -> F64:
    """Return the positions from the rotation centre of the series, shape (atoms, 3)."""
    place = origin(series)
    return finite_positions("measure.r_factor: atoms", atoms) - np.array([place[axis] for axis in "xyz"])


def _atoms_grid(atoms: xr.Dataset, step: float, series: xr.Dataset) -> Grid:
    """Return the smallest box that holds the centres of all atoms."""
    if not atoms.sizes["atom"]:
        raise InputError(Problem("measure.r_factor: atoms", "atom", "0", "at least one atom", "give atoms"))
    place = _placed(atoms, series)[:, ::-1] / step
    first, last = np.floor(place.min(0)), np.ceil(place.max(0))
    return Grid(tuple(int(size) for size in last - first + 1), tuple(float(value) for value in first))


def _drawn(
    atoms: xr.Dataset, series: xr.Dataset, observed: F32, trusted: NDArray[np.bool_], params: RFactorParams
) -> tuple[F32, Table]:
    """Return the images of the atoms, and the heights fitted to make them."""
    if params.profile == "kirkland":
        elements_of("measure.r_factor", atoms)
    species = atoms["species"].values
    width = np.full(species.size, params.width)
    if "width" in params.columns:
        width = column_of("measure.r_factor", atoms, "width", above=0)
    if "intensity" in params.columns:
        return _pictures(atoms, series, column_of("measure.r_factor", atoms, "intensity"), width, params), {}
    numbers = np.unique(species)
    parts = [_pictures(atoms, series, (species == number).astype(float), width, params) for number in numbers]
    basis = np.stack(parts)
    fitted = heights(basis, observed, trusted)
    unit = units.canonical(f"({series['image'].attrs['units']})*angstrom**2")
    table: Table = {
        "height": ("element", fitted, {"units": unit}),
        "element": ("element", numbers, {"units": "1"}),
    }
    return np.tensordot(fitted.astype(np.float32), basis, axes=1), table


def _pictures(atoms: xr.Dataset, series: xr.Dataset, height: F64, width: F64, params: RFactorParams) -> F32:
    """Draw atoms of given integrals and widths at all tilts, shape (tilts, y, x)."""
    step, place, species = pixel_size(series), _placed(atoms, series), atoms["species"].values
    corner = np.array([float(series["x"][0]), float(series["y"][0])])
    used, shape = height != 0, (series.sizes["y"], series.sizes["x"])
    made = np.empty((series.sizes["tilt"], *shape), np.float32)
    for i, turned in enumerate(rotations(series)):
        seen = np.ascontiguousarray(((place[used] @ turned)[:, :2] - corner).T / step)
        drawn = (seen[0], seen[1], height[used] / step**2, width[used] / step)
        if params.profile == "kirkland":
            made[i] = rendering.scattered(*drawn, species[used], step, *shape)
        else:
            made[i] = rendering.render(*drawn, *shape)
    return made
