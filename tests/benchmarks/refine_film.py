"""Refine a sub-area of the Ta film against its images, and print R beside that of the published atoms.

Run as ``python -m tests.benchmarks.refine_film ATOMS [--area 22]``. ATOMS is a store of traced atoms in the frame of
the film, such as ``results/atoms.zarr`` of a run of ``recipes/ta_film.yaml``. All R are on the same pixels: those
whose whole ray lies in the part of the film that both sets of atoms cover. `level` lets only one height, one width,
and each image's scale and background follow; `poses` also its angles and shift; then both sets are refined. R-free is
that of images held out of the refinement, for which only pose, scale and background are fitted. The data are looked
for in the folder named by ``AETX_DATA``, else beside the checkout.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.io
import torch
import xarray as xr
from numpy.typing import NDArray

from aetx.core.model_images import problem_of
from aetx.core.tilts import centred_axis, pose_coords
from aetx.errors import AetxWarning
from aetx.kernels.held_out import split
from aetx.kernels.refinement import Free, Noise, Plan, Prior, fit
from aetx.kernels.site_search import r_by_tilt
from aetx.stages.refine.images import images
from aetx.store import open_store
from tests.benchmarks.accuracy_film import CENTRE, DATA, F64, PIXEL, sites

ANGLES, SHIFTS = 0.3, 0.2
"""Errors of the angles and shifts of images that were aligned already, degree and angstrom."""
GAIN, OFFSET, THREADS, HELD_OUT = 500.0, 50.0, 2, 3
LEVEL = Free(angles=False, shifts=False, positions=False)


def series_of(area: int) -> xr.Dataset:
    """Return the images of a sub-area."""
    place = scipy.io.loadmat(DATA / "alignPara.mat")["CropCen"].astype(int)[area - 1]
    shown = scipy.io.loadmat(DATA / "projections" / f"Projections_area{area}.mat")["Proj_sub"].transpose(2, 1, 0)
    angles = scipy.io.loadmat(DATA / "angles.mat")["angle"].astype(float)
    return xr.Dataset(
        {
            "image": (("tilt", "y", "x"), np.ascontiguousarray(shown, np.float32), {"units": "count"}),
            "origin": ("axis", (place - CENTRE) * PIXEL, {"units": "angstrom"}),
        },
        {
            **pose_coords(angles),
            "y": centred_axis("y", shown.shape[1], PIXEL),
            "x": centred_axis("x", shown.shape[2], PIXEL),
            "axis": ["x", "y", "z"],
        },
    )


def common(*sets: F64) -> tuple[F64, F64]:
    """Return the corners of what all sets cover in x and y, and any of them in z."""
    low, high = np.array([one.min(0) for one in sets]), np.array([one.max(0) for one in sets])
    return np.append(low.max(0)[:2], low[:, 2].min()), np.append(high.min(0)[:2], high[:, 2].max())


def masked(series: xr.Dataset, low: F64, high: F64) -> xr.Dataset:
    """Return the series with a mask of the pixels whose rays stay between two corners."""
    problem = problem_of("film", sites(np.stack([low, high])), series, "gaussian", None, 1e3, True)
    assert problem.scene.seen is not None
    return series.assign(mask=(("tilt", "y", "x"), problem.scene.seen > 0, {"units": "1"}))


def fitted(positions: F64, series: xr.Dataset, poses: bool) -> tuple[float, float, float]:
    """Return the mean R1 over the images, that over those that are held out elsewhere, and the width of an atom."""
    problem = problem_of("film", sites(positions), series, "kirkland", 0.5, 1e3)
    prior = Prior(turn=float(np.deg2rad(ANGLES)), shift=SHIFTS)
    state = problem.state
    for free in (replace(LEVEL, widths="fixed"), LEVEL, replace(LEVEL, angles=poses, shifts=poses)):
        found = fit(problem.scene, state, free, Noise(GAIN, OFFSET), Plan(6, 15, 1e-4), prior, problem.state)
        state = found.state
    each = r_by_tilt(problem.scene, found.models)
    chosen: NDArray[np.integer] = split(len(each), HELD_OUT).free
    return float(np.nanmean(each)), float(np.nanmean(each[chosen])), float(state.width[0])


def main() -> None:
    """Print one line for each set of atoms and freedom."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("atoms", type=Path)
    parser.add_argument("--area", type=int, default=22)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", AetxWarning)
    torch.set_num_threads(THREADS)
    published = scipy.io.loadmat(DATA / "atoms_rows1-3.mat")
    sets = {
        "published": published["final_A"].T.astype(float),
        "traced": open_store(chosen.atoms).load()["position"].sel(axis=["x", "y", "z"]).values,
    }
    low, high = common(*sets.values())
    series = masked(series_of(chosen.area), low, high)
    print(f"area {chosen.area}: {100 * float(series['mask'].mean()):.1f} % of the pixels are compared")
    for name, positions in sets.items():
        for freedom in (False, True):
            r1, part, width = fitted(positions, series, freedom)
            free = "poses" if freedom else "level"
            print(
                f"{name:9s} {free}: R1 {r1:.4f}, of the images held out below {part:.4f}; width {width:.3f} A",
                flush=True,
            )
    for name, positions in sets.items():
        inside = ((positions >= low) & (positions <= high))[:, :2].all(axis=1)
        began = time.perf_counter()
        found = images(sites(positions[inside]), series, angle_error=ANGLES, shift_error=SHIFTS, held_out=HELD_OUT)
        r1, part, _ = fitted(found["position"].values, series, True)
        moved = np.linalg.norm(found["displacement"].values, axis=1)
        print(
            f"{name} refined: {int(inside.sum())} to {found.sizes['atom']} atoms, "
            f"{found.sizes.get('entry', 0)} changes; "
            f"R1 {float(found['r1'].mean()):.4f}, R-free {float(found['r_free'].mean()):.4f}, R-work "
            f"{float(found['r_work']):.4f}; with one height and width R1 {r1:.4f}; moved {np.nanmedian(moved):.3f} A "
            f"(median); heights {found.attrs['heights']}, widths {found.attrs['widths']}; "
            f"{time.perf_counter() - began:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
