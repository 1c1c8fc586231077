"""Some of the images of a series."""

from __future__ import annotations

from typing import Annotated, Self

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from aetx.core import Forecast, InputSizes, Params, stage
from aetx.errors import InputError, Problem
from aetx.model import TILT_SERIES


class SelectParams(Params):
    """Parameters of `select`."""

    every: int = Field(1, ge=1, le=10_000, description="keep one of so many images")
    offset: int = Field(0, ge=0, lt=10_000, description="place of the first one kept, counted from 0")
    places: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (), max_length=10_000, description="places of the images to keep, counted from 0, in place of every and offset"
    )
    drop: bool = Field(False, description="drop those images instead, and keep all others")

    @model_validator(mode="after")
    def _stated_once(self) -> Self:
        twice = sorted({"every", "offset"} & self.model_fields_set)
        if self.places and twice:
            raise ValueError(f"either places or {', '.join(twice)}, not both")
        if self.offset >= self.every:
            raise ValueError(f"offset {self.offset} must be below every, {self.every}")
        if len(set(self.places)) < len(self.places):
            raise ValueError("places name each image once")
        return self


def _chosen(count: int, params: SelectParams) -> np.ndarray:
    """Return the places of the images that stay, rising."""
    named = np.array(params.places) if params.places else np.arange(params.offset, count, params.every)
    kept = np.isin(np.arange(count), named) != params.drop
    return np.flatnonzero(kept)


def _forecast(inputs: InputSizes, params: SelectParams) -> Forecast:
    series = inputs["series"][0]
    kept = _chosen(series.get("tilt", 1), params).size
    plane = series.get("y", 1) * series.get("x", 1)
    return Forecast({**series, "tilt": kept}, memory=plane * 16, seconds=1e-3 + kept * plane * 1e-9)


@stage(
    "prepare.select",
    takes={"series": TILT_SERIES},
    gives=TILT_SERIES,
    params=SelectParams,
    version=1,
    flow="chunkwise",
    chunks={"tilt": 1, "y": -1, "x": -1},
    forecast=_forecast,
)
def select(series: xr.Dataset, params: SelectParams) -> xr.Dataset:
    """Images at the places stated, with all that is known of them; their numbers stay theirs.

    Image i is kept where i = offset + every * k. Two steps with `every` 2 and the offsets 0 and 1 make the half sets
    that `measure.fsc` compares. Two with the same `every` and `offset`, one with `drop`, make a held-out and a working
    set: reconstruct, trace and refine with the second, and let `measure.r_factor` compare the result with the first,
    which it has never seen.

    References
    ----------
    A. T. Bruenger, Nature 355, 472 (1992), doi:10.1038/355472a0 (why some data are held out).
    """
    count = series.sizes["tilt"]
    beyond = [place for place in params.places if place >= count]
    if beyond:
        found = f"{beyond[:5]} of {count} images"
        raise InputError(Problem("prepare.select", "places", found, f"places below {count}", "name images that exist"))
    kept = _chosen(count, params)
    if not kept.size:
        raise InputError(Problem("prepare.select", "tilt", "no image is kept", "at least one", "keep more images"))
    return series.isel(tilt=kept)
