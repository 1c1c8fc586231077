"""A package as others would install it: six stages that hand on what they get, one reader."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

import xarray as xr
from pydantic import Field, model_validator

from aetx.core import Angle, Length, Params, many, optional, reader, stage
from aetx.model import ATOMS, TILT_SERIES, VOLUME


class Centre(Params):
    """A place with a name."""

    x: Length = Field(0.0, description="where")
    name: str = Field("origin", description="what to call it")


class SolveParams(Params):
    """Parameters of `solve`."""

    iterations: int = Field(100, ge=1, le=5000, description="number of passes over all images")
    width: Length = Field(2.0, gt=0, le=50, description="width of the filter")
    step: float = Field(0.5, gt=0, description="length of a step")
    cut: Length | None = Field(None, gt=0, description="distance beyond which nothing counts")
    window: tuple[Length, Length] = Field((1.0, 2.0), description="inner and outer radius")
    angles: tuple[Angle, ...] = Field((), description="a list of angles")
    reach: Length | Literal["auto"] = Field("auto", description="reach, or 'auto'")
    shape: Literal["sphere", "cube", "film"] = Field("sphere", description="shape of the support")
    label: str = Field("", description="a word for the report")
    positive: bool = Field(True, description="density is not below zero")
    centre: Centre = Field(Centre(), description="centre of the support")
    mask: Path | None = Field(None, description="a file with the support")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.window[0] >= self.window[1]:
            raise ValueError("the inner radius is not below the outer")
        return self


class SeedParams(Params):
    """Parameters of `seed`."""

    seed: int = Field(0, ge=0, description="seed of the random numbers")


@stage("toy.seed", takes={}, gives=ATOMS, params=SeedParams)
def seed(params: SeedParams) -> xr.Dataset:
    """Atoms from nothing."""
    return xr.Dataset()


@stage("toy.images", takes={"atoms": ATOMS}, gives=TILT_SERIES)
def images(atoms: xr.Dataset, params: Params) -> xr.Dataset:
    """Images of atoms."""
    return atoms


@stage("toy.solve", takes={"series": TILT_SERIES}, gives=VOLUME, params=SolveParams, version=3)
def solve(series: xr.Dataset, params: SolveParams, *, device: str) -> xr.Dataset:
    """A volume from images.

    With a formula and its reference, doi:10.0000/toy.
    """
    return series


@stage("toy.stitch", takes={"tiles": many(VOLUME)}, gives=VOLUME)
def stitch(tiles: tuple[xr.Dataset, ...], params: Params) -> xr.Dataset:
    """One volume from many."""
    return tiles[0]


@stage("toy.peaks", takes={"volume": VOLUME}, gives=ATOMS)
def peaks(volume: xr.Dataset, params: Params) -> xr.Dataset:
    """Atoms of a volume."""
    return volume


@stage("toy.refine", takes={"atoms": ATOMS, "series": TILT_SERIES, "support": optional(VOLUME)}, gives=ATOMS)
def refine(atoms: xr.Dataset, series: xr.Dataset, support: xr.Dataset | None, params: Params) -> xr.Dataset:
    """Atoms that fit the images better."""
    return atoms


@reader("toy", patterns=("*.toy",), gives=(VOLUME,))
def toy(path: Path, params: Params) -> xr.Dataset:
    """A volume in a format of its own."""
    return xr.Dataset()
