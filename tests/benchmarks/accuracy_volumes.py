"""Reconstruct real and published series with the defaults, and print how well.

Run as ``python -m tests.benchmarks.accuracy_volumes [CASE ...]`` with cases ``ta``, ``glass``, ``film``, ``score``.
The data are looked for in the folder named by ``AETX_DATA``, else beside the checkout.
"""

from __future__ import annotations

import os
import resource
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import scipy.io
import xarray as xr
from numpy.typing import NDArray

from aetx.errors import AetxWarning
from aetx.stages.measure.r_factor import r_factor
from aetx.stages.reconstruct.resire import resire
from aetx.stages.reconstruct.stitch import stitch

DATA = Path(os.environ.get("AETX_DATA", Path(__file__).parents[3] / "shared" / "data"))
TA_PIXEL = 0.3216
TA_CENTRE = (201, 176, 171)
TA_TRIM = {"y": slice(4, -4), "x": slice(63, -63)}
"""What the authors trim off an inner tile of the second row."""


def tilt_series(
    images: NDArray[np.generic],
    angles: NDArray[np.generic],
    pixel: float,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> xr.Dataset:
    """Return a series of images given as (x, y, tilt), with rows (phi, theta, psi) of angles in degree."""
    values = np.ascontiguousarray(images.transpose(2, 1, 0)).astype(np.float32)
    tilts, height, width = values.shape
    length, angle = {"units": "angstrom"}, {"units": "degree"}
    poses = {name: ("tilt", angles[:, i].astype(float), angle) for i, name in enumerate(("phi", "theta", "psi"))}
    return xr.Dataset(
        {"image": (("tilt", "y", "x"), values, {"units": "count"})},
        {
            "tilt": ("tilt", np.arange(tilts), {"units": "1"}),
            "y": ("y", (np.arange(height) - height // 2) * pixel, length),
            "x": ("x", (np.arange(width) - width // 2) * pixel, length),
            "axis": ("axis", ["x", "y", "z"]),
            "origin": ("axis", list(origin), length),
            **poses,
        },
    )


def ta_area(number: int) -> xr.Dataset:
    """Return a sub-area of the tantalum film."""
    folder = DATA / "ta_film_saet"
    centre = scipy.io.loadmat(folder / "alignPara.mat")["CropCen"].astype(float)[number - 1]
    x, y, z = (centre - np.array(TA_CENTRE)) * TA_PIXEL
    images = scipy.io.loadmat(folder / "projections" / f"Projections_area{number}.mat")["Proj_sub"]
    return tilt_series(images, scipy.io.loadmat(folder / "angles.mat")["angle"], TA_PIXEL, (x, y, z))


def ta_volume(number: int) -> NDArray[np.float32]:
    """Return the published volume of a sub-area, (z, y, x)."""
    path = DATA / "ta_film_saet" / "reconstructions" / f"ReconObj_sub{number}.mat"
    found: NDArray[np.float32] = scipy.io.loadmat(path)["reconstruction"].transpose(2, 1, 0)
    return found


def correlation(first: NDArray[np.generic], second: NDArray[np.generic]) -> float:
    """Return Pearson's correlation of two arrays."""
    return float(np.corrcoef(first.ravel().astype(float), second.ravel().astype(float))[0, 1])


def report(name: str, volume: xr.Dataset, began: float, *rest: str) -> None:
    """Print one line."""
    history = volume["r1_history"]
    line = [
        f"{name}: {volume.sizes['iteration'] - 1} iterations, {cpu_seconds() - began:.1f} CPU-s",
        f"mean R1 {float(volume['r1'].mean()):.5f} (first {float(history[1]):.3f})",
    ]
    print("; ".join([*line, *rest]), flush=True)


def cpu_seconds() -> float:
    """Return user and system time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def ta() -> None:
    """Area 22 of the tantalum film against the published volume."""
    series, began = ta_area(22), cpu_seconds()
    volume = resire(series, extended=True)
    found, published = volume["density"], xr.DataArray(ta_volume(22), dims=("z", "y", "x"))
    whole = correlation(found.values, published.values)
    tile = correlation(found.isel(TA_TRIM).values, published.isel(TA_TRIM).values)
    report("ta area 22", volume, began, f"correlation {whole:.5f}, in the tile {tile:.5f}")


def glass_series() -> xr.Dataset:
    """Return the simulated metallic glass."""
    folder = DATA / "metallic_glass" / "sample"
    images = scipy.io.loadmat(folder / "sample_projections_amorphous.mat")["Projs"]
    return tilt_series(images, scipy.io.loadmat(folder / "sample_angles_amorphous.mat")["angles"], 1.0)


def glass_truth() -> NDArray[np.float64]:
    """Return its density, (z, y, x)."""
    path = DATA / "metallic_glass" / "sample" / "ground_truth_amorphous_vol.mat"
    found: NDArray[np.float64] = scipy.io.loadmat(path)["Vol"].transpose(2, 1, 0)
    return found


def glass() -> None:
    """The simulated metallic glass against its truth."""
    series, began = glass_series(), cpu_seconds()
    volume = resire(series)
    used = correlation(volume["density"].values, glass_truth())
    again = float(r_factor(series, volume)["mean_r1"])
    report("metallic glass", volume, began, f"correlation with the truth {used:.5f}", f"recomputed R1 {again:.5f}")


def film() -> None:
    """The small film that fills its field of view."""
    folder = DATA / "film_example"
    images = scipy.io.loadmat(folder / "example_projections.mat")["example_projections"]
    series = tilt_series(images, scipy.io.loadmat(folder / "angles.mat")["refined_angles"], 1.0)
    began = cpu_seconds()
    report("film example", resire(series, extended=True), began)


def score() -> None:
    """Areas 20-24 of the film, stitched, against the images of area 22."""
    began = cpu_seconds()
    whole = stitch(tuple(resire(ta_area(number), extended=True) for number in range(20, 25)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AetxWarning)  # at the highest tilts no whole ray lies in the tiles
        found = r_factor(ta_area(22), whole, extended=True)
    r1 = found["r1"]
    print(
        f"ta areas 20-24 stitched, {cpu_seconds() - began:.0f} CPU-s; images of area 22: "
        f"mean R1 {float(r1.mean()):.4f} over {int(r1.notnull().sum())} tilts, global {float(found['global_r1']):.4f}"
    )


CASES = {"ta": ta, "glass": glass, "film": film, "score": score}


def main(names: list[str]) -> None:
    """Run the cases named, or all."""
    for name in names or list(CASES):
        start = time.perf_counter()
        CASES[name]()
        print(f"  {time.perf_counter() - start:.1f} s on the clock")


if __name__ == "__main__":
    main(sys.argv[1:])
