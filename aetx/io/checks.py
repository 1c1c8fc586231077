"""The look at every pixel before any stage starts, one image at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import xarray as xr

from aetx.errors import AetxWarning, InputError, Problem

PIXELS = ("image", "pattern", "density")
SATURATED = 0.01
"""Fraction of pixels at the highest value above which an image is called saturated."""
FEW = 8
"""Pixels at the highest value that no image is called saturated for."""
LISTED = 5


def check_pixels(dataset: xr.Dataset, source: str = "dataset") -> None:
    """Read every image of a dataset once; refuse what no stage can use, warn of what the user should know.

    Refused: NaN and infinite pixels, with the index of the image and their number; constant images, blank ones
    named as such; a volume of one value. Warned of: many pixels at the highest value, negative counts. One image is
    held at a time.

    Raises
    ------
    InputError
        With every fault, up to 20 images.
    """
    names = [name for name in PIXELS if name in dataset]
    for name in names:
        _check_variable(dataset[name], name, source)
    if "position" in dataset and dataset["position"].dims == ("atom", "axis"):
        bad = np.flatnonzero(~np.isfinite(np.asarray(dataset["position"].values, float)).all(1))
        if bad.size:
            what = f"{bad.size} atoms without a finite position, the first at index {bad[0]}"
            raise InputError(Problem(source, "position", what, "finite positions", "mend the table"))


def _check_variable(values: xr.DataArray, name: str, source: str) -> None:
    stack = name != "density"
    found: list[Problem] = []
    saturated: list[tuple[str, float]] = []
    negative = 0
    low, high = np.inf, -np.inf
    for label, one in _pieces(values, stack):
        field = f"{name}[{label}]"
        finite = np.isfinite(one) if one.dtype.kind == "f" else np.True_
        if not finite.all():
            count = int(one.size - np.count_nonzero(finite))
            what = "NaN in every pixel" if count == one.size else f"{count} pixels of {one.size} are NaN or infinite"
            found.append(Problem(source, field, what, "finite pixels", "mend or leave out this image"))
        else:
            least, most = float(one.min()), float(one.max())
            low, high = min(low, least), max(high, most)
            negative += int(np.count_nonzero(one < 0)) if least < 0 else 0
            if name == "image" and least == most:
                what = "a blank image: every pixel is 0" if most == 0 else f"a constant image: every pixel is {most:g}"
                fix = "leave this image and its angle out; the file holds it whole, so no part of it is missing"
                found.append(Problem(source, field, what, "an image", fix))
            elif name == "image":
                top = np.count_nonzero(one == most)
                if top > max(SATURATED * one.size, FEW) and most > 0:
                    saturated.append((label, top / one.size))
        if len(found) >= 20:
            break
    if not stack and low == high and not found:
        found.append(Problem(source, name, f"{low:g} in every voxel", "a volume", "name the right file or variable"))
    if found:
        raise InputError(found, f"{source} has images that cannot be used")
    if saturated:
        listed = ", ".join(f"image {label}: {fraction:.1%}" for label, fraction in saturated[:LISTED])
        more = f" and {len(saturated) - LISTED} more" if len(saturated) > LISTED else ""
        text = f"{source}: pixels at the highest value, as if saturated: {listed}{more}"
        warnings.warn(text, AetxWarning, stacklevel=3)
    if negative and values.attrs.get("units") == "count":
        text = f"{source}: {negative} negative counts in {name}, the least {low:g}; they are kept"
        warnings.warn(text, AetxWarning, stacklevel=3)


def _pieces(values: xr.DataArray, stack: bool) -> Iterator[tuple[str, np.ndarray]]:
    """Give the images of a series one by one, the rows of a scan, and a volume as it is cut, with their numbers."""
    if not stack:
        step = values.chunksizes.get("z", (1,))[0] if values.chunks else 1
        for start in range(0, values.sizes["z"], step):
            last = min(start + step, values.sizes["z"])
            yield f"{start}:{last}", np.asarray(values.isel(z=slice(start, last)).values)
        return
    lead = values.dims[:2] if values.name == "pattern" else values.dims[:-2]
    for index in np.ndindex(*(values.sizes[axis] for axis in lead)):
        yield ", ".join(map(str, index)), np.asarray(values.isel(dict(zip(lead, index, strict=True))).values)
