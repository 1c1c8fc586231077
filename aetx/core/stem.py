"""A scanned tilt series of atoms: what multislice and PRISM share around their kernels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from aetx.core.atoms import elements_of
from aetx.core.lens import LensParams
from aetx.core.params import Length, SmallAngle
from aetx.core.tilts import SeriesParams, framed
from aetx.errors import AetxWarning
from aetx.kernels import rendering
from aetx.kernels.multislice import WaveGrid
from aetx.kernels.scattering import wavelength
from aetx.kernels.stem import Box, Optics, Slicing, box_around, vacuum
from aetx.model import positions

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]

BAND = 2 / 3
"""Part of the frequencies of a grid that the waves use."""


class StemParams(SeriesParams, LensParams):
    """What a scan with a focused probe and an annular detector has to know."""

    pixel_size: Length = Field(0.358, gt=0, le=10, description="step of the scan")
    semi_angle: SmallAngle = Field(25.0, gt=0, le=200, description="semi-angle of the probe-forming aperture")
    defocus: Length = Field(0.0, ge=-1e5, le=1e5, description="-C10, under-focus positive, at the rotation centre")
    inner: SmallAngle = Field(40.0, ge=0, le=1000, description="inner edge of the annular detector")
    outer: SmallAngle = Field(200.0, gt=0, le=1000, description="outer edge of the annular detector")
    sampling: Length | None = Field(
        None, gt=0, le=1, description="pixel of the waves; none for the coarsest that reaches the outer edge"
    )
    thickness: Length = Field(2.0, gt=0, le=20, description="thickness of the slices that the waves go through")
    oversampling: int = Field(
        2, ge=1, le=8, description="pixels of the potential along the edge of one of the waves; 1 aliases heavy atoms"
    )
    vibration: Length = Field(
        0.075, ge=0, le=1, description="root mean square displacement of the frozen phonons along each axis"
    )
    configurations: int = Field(8, ge=1, le=10_000, description="configurations of frozen phonons that are averaged")
    reach: Length = Field(
        5.0, ge=1, le=500, description="probes further than this from every atom see vacuum and are not computed"
    )
    source: Length = Field(0.0, ge=0, le=10, description="Gaussian standard deviation of the source, in the image")
    seed: int = Field(0, ge=0, lt=2**63, description="seed of the errors of the angles and of the phonons")

    @model_validator(mode="after")
    def _without_contradiction(self) -> Self:
        if self.inner >= self.outer:
            raise ValueError(f"inner below outer, {self.outer:g} mrad")
        if self.vibration == 0 and "configurations" in self.model_fields_set and self.configurations > 1:
            raise ValueError("configurations above 1 only with a vibration: they would all be the same")
        return self

    @property
    def wave_pixel(self) -> float:
        """Pixel of the waves, angstrom."""
        return self.sampling or BAND * wavelength(self.energy) * 1e3 / (2 * self.outer)

    @property
    def repeats(self) -> int:
        """How many configurations are computed."""
        return self.configurations if self.vibration > 0 else 1

    @property
    def slicing(self) -> Slicing:
        """How the specimen is cut and sampled."""
        return Slicing(self.thickness, self.oversampling)

    @property
    def optics(self) -> Optics:
        """The microscope as the kernels take it."""
        return Optics(self.energy, self.semi_angle, self.inner, self.outer, self.aberrations(self.defocus))


@dataclass(frozen=True)
class Raster:
    """Where the probes of an image stand, x and y in angstrom, and which are near atoms, shape (y, x)."""

    x: F64
    y: F64
    wanted: Flags


def scanned_series(
    stage: str,
    atoms: xr.Dataset,
    like: xr.Dataset | None,
    params: StemParams,
    scan: Callable[..., F32],
    options: Mapping[str, Any],
) -> xr.Dataset:
    """Return a tilt series, lazy, one image per chunk, as fractions of the incident electrons.

    Parameters
    ----------
    stage
        Who makes it.
    atoms, like, params
        As the stage was given them.
    scan
        A function of a module, ``(box, position, numbers, raster, params, **options)``, that computes the image of
        one configuration, shape (y, x), 0 where the raster does not want it.
    options
        Further arguments of `scan`.
    """
    numbers = elements_of(stage, atoms)
    _warn_of_the_band(params)
    frame = framed(stage, params, like, np.random.default_rng(np.random.SeedSequence(params.seed, spawn_key=(0,))))
    count, rows, columns = (frame.series.sizes[axis] for axis in ("tilt", "y", "x"))
    data = da.map_blocks(
        _images,
        da.arange(count, chunks=1),
        new_axis=[1, 2],
        chunks=((1,) * count, (rows,), (columns,)),
        dtype=np.float32,
        meta=np.empty((0, 0, 0), np.float32),
        angles=np.deg2rad(frame.true),
        position=positions(atoms) - frame.centre,
        numbers=numbers,
        x=frame.series["x"].values.astype(float),
        y=frame.series["y"].values.astype(float),
        step=frame.step,
        params=params,
        scan=scan,
        options=dict(options),
    )
    return frame.series.assign(image=(("tilt", "y", "x"), data, {"units": "1"}))


def _images(number: NDArray[np.integer], **scene: Any) -> F32:
    return np.stack([_image(int(index), **scene) for index in number])


def _image(
    index: int,
    *,
    angles: F64,
    position: F64,
    numbers: NDArray[np.integer],
    x: F64,
    y: F64,
    step: float,
    params: StemParams,
    scan: Callable[..., F32],
    options: Mapping[str, Any],
) -> F32:
    """Average the configurations of one image; its random numbers depend on the seed and its number only."""
    seen = rendering.to_camera(position, *angles[index])
    box = box_for(seen, params, options)
    raster = near(seen, x, y, params.reach)
    total = np.zeros((y.size, x.size))
    for moved in vibrating(seen, params, index):
        total += scan(box, moved, numbers, raster, params, **options)
    total = np.where(raster.wanted, total / params.repeats, vacuum(box.grid, params.optics))
    if params.source > 0:
        total = gaussian_filter(total, params.source / step, mode="nearest", truncate=5.0)
    return total.astype(np.float32)


def box_for(seen: F64, params: StemParams, options: Mapping[str, Any]) -> Box:
    """Return the box for atoms in the frame of the camera: no probe near an atom sees another across its faces."""
    margin = max(params.reach, (params.reach + options.get("window", 0.0) / 2) / 2) + 5 * params.vibration
    return box_around(seen, margin, params.wave_pixel, params.energy)


def near(seen: F64, x: F64, y: F64, reach: float) -> Raster:
    """Return the raster of probes at x and y, of which those within reach of an atom are wanted."""
    points = np.stack(np.meshgrid(x, y), axis=-1)
    distance, _ = cKDTree(seen[:, :2]).query(points, distance_upper_bound=reach)
    return Raster(x, y, np.isfinite(distance))


def vibrating(seen: F64, params: StemParams, index: int) -> list[F64]:
    """Return the atoms of each configuration of an image.

    Configurations come in pairs with opposite displacements, so that the atoms stand at their places on average
    even where there are few.
    """
    if params.vibration == 0:
        return [seen]
    made: list[F64] = []
    for pair in range((params.configurations + 1) // 2):
        stream = np.random.SeedSequence(params.seed, spawn_key=(1, index, pair))
        moved = np.random.default_rng(stream).normal(0.0, params.vibration, seen.shape)
        made += [seen + moved, seen - moved]
    return made[: params.configurations]


def _warn_of_the_band(params: StemParams) -> None:
    grid = WaveGrid(2, 2, params.wave_pixel, params.energy, BAND)
    if params.outer > grid.largest_angle * (1 + 1e-9):
        needed = grid.pixel * grid.largest_angle / params.outer
        text = f"waves sampled at {grid.pixel:.4g} angstrom reach {grid.largest_angle:.1f} mrad, the detector"
        text += f" {params.outer:g} mrad: what lies between is not seen. A sampling of {needed:.4g} angstrom sees it"
        warnings.warn(text, AetxWarning, stacklevel=5)
