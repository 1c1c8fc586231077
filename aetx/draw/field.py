"""Pictures of fields on a grid: each component through the centre."""

from __future__ import annotations

import numpy as np
import xarray as xr

from aetx.draw import style
from aetx.draw.picture import Picture
from aetx.draw.tilt_series import extent_of, reduced


def field(dataset: xr.Dataset) -> list[Picture]:
    """Return a picture of each variable on the grid, vectors and tensors by component."""
    return [
        _components(dataset, str(name))
        for name, one in dataset.data_vars.items()
        if one.dims[:3] == ("z", "y", "x") and one.dtype.kind == "f" and all(one.sizes[d] == 3 for d in one.dims[3:])
    ]


def _components(dataset: xr.Dataset, name: str) -> Picture:
    one = dataset[name].isel(z=dataset.sizes["z"] // 2)
    extra = one.dims[2:]
    choices: dict[int, list[tuple[int, ...]]] = {
        0: [()],
        1: [(i,) for i in range(3)],
        2: [(i, j) for i in range(3) for j in range(i, 3)],
    }
    pairs = choices[len(extra)]
    images = [reduced(np.asarray(one.isel(dict(zip(extra, pair, strict=True))).values, np.float32)) for pair in pairs]
    extent = extent_of(dataset, "x", "y")
    columns = min(3, len(pairs))
    rows = -(-len(pairs) // columns)
    made = style.figure(rows * (style.WIDTH / 3.3 * (extent[3] - extent[2]) / (extent[1] - extent[0]) + 0.3) + 0.1)
    every = np.concatenate([image.ravel() for image in images])
    top = max(abs(v) for v in style.limits(every, 1, 99))
    signed = bool((every < 0).any())
    grid = np.atleast_1d(made.subplots(rows, columns)).ravel()
    drawn = None
    for axes, pair, image in zip(grid, pairs, images, strict=False):
        colours, low = (style.SIGNED, -top) if signed else (style.VALUES, 0.0)
        drawn = style.image(axes, np.ma.masked_invalid(image), extent, colours, (low, top))
        axes.set_facecolor("#c9ced4")
        style.title(axes, name.replace("_", " ") + "".join(" " * (k == 0) + "xyz"[i] for k, i in enumerate(pair)))
    style.colour_bar(made, drawn, list(grid), style.label(name.replace("_", " "), str(dataset[name].attrs["units"])))
    height = float(dataset["z"].values[dataset.sizes["z"] // 2])
    return Picture(f"field-{name}", name.replace("_", " "), f"Section at z = {height:.1f} Å; grey: not defined.", made)
