"""Plant false atoms into the output of a learned filter and print which of all atoms `measure.support` flags.

Run as ``python -m tests.benchmarks.accuracy_guard [--particles 3] [--settings MODEL_OR_FILE] [--share 0.01]
[--smallest 22] [--largest 26]``. In each particle one false atom in a hundred goes where the lattice continues (beyond
the surface, and at empty sites), and as many more between atoms, at least 1.9 A from all: each as a Gaussian as tall
and as wide as the others, added to the filtered volume, which is then traced. Printed are the atoms that were traced,
of true, planted and other false ones those that are flagged, and processor seconds of the guard. ``noise`` is a series
of Poisson noise of 3 counts in each pixel, reconstructed, filtered and traced; no atom of it may stay.
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from aetx.bench._multislice import DATA, ELECTRONS, PATTERN, atoms, series
from aetx.core.atoms import atoms_dataset
from aetx.errors import AetxWarning
from aetx.kernels import gaussian as peaks_of
from aetx.kernels.alignment import ladder
from aetx.model import ATOMS, TILT_SERIES, positions, spacing
from aetx.stages.augment.gaussian import gaussian
from aetx.stages.augment.unet import unet
from aetx.stages.measure.support import support
from aetx.stages.prepare.gaussian import gaussian as blurred
from aetx.stages.reconstruct.mbir import mbir
from aetx.stages.simulate.acquisition import acquisition
from aetx.stages.simulate.amorphous import amorphous
from aetx.stages.simulate.images import images
from aetx.stages.simulate.particle import particle
from aetx.stages.trace.peaks import peaks

F64 = NDArray[np.float64]
NOISY: dict[str, Any] = {"strength": 0.05, "transition": 5.0, "iterations": 40}
CLEAR: dict[str, Any] = {"strength": 0.4, "transition": 0.1, "iterations": 40}
"""Priors of volumes where noise decides, and where it does not, as `aetx bench filter` has them."""
WIDTH, NEAR = 0.45, 1.0
KAIST: dict[str, Any] = {"width": 0.503, "width_spread": 0.05, "height_spread": 0.3}
CASES: dict[str, tuple[float, dict[str, Any]]] = {
    "P": (7656.0, {}),
    "quarter-dose": (1914.0, {}),
    "K": (206712.0, KAIST),
    "amorphous": (7656.0, {}),
}


def invented(place: F64, share: float, generator: np.random.Generator) -> F64:
    """Return places that continue the lattice, and as many between atoms."""
    near, count = cKDTree(place), max(3, round(share * len(place)))
    first, second = near.query_pairs(3.4, output_type="ndarray").T
    beyond = np.concatenate([2 * place[first] - place[second], 2 * place[second] - place[first]])
    beyond = generator.permutation(beyond[near.query(beyond)[0] > 2.3])
    within = generator.uniform(place.min(0), place.max(0), (400 * len(place), 3))
    inside = np.asarray(near.query(within, 12)[0])
    within = within[(inside[:, 0] > 1.9) & (inside[:, -1] < 4.5)]
    kept: list[F64] = []
    for places in (beyond, within):
        until = len(kept) + count
        for one in places:
            if len(kept) < until and all(np.linalg.norm(one - other) > 2.5 for other in kept):
                kept.append(one)
    return np.reshape(kept, (-1, 3))


def planted(volume: xr.Dataset, place: F64) -> xr.Dataset:
    """Add Gaussians as tall as the atoms of a filtered volume."""
    density = np.ascontiguousarray(volume["density"].values, np.float32).copy()
    step, first = spacing(volume, "x"), np.array([float(volume[axis][0]) for axis in "zyx"])
    state = np.zeros((len(place), 5))
    state[:, :3] = (place[:, ::-1] - first) / step
    state[:, 3] = -float(np.quantile(density[density > 0.2 * density.max()], 0.98))
    peaks_of.subtract(density, np.zeros(3, np.int64), state, np.full(3, WIDTH / step))
    return volume.assign(density=(volume["density"].dims, density, volume["density"].attrs))


def filtered(measured: xr.Dataset, settings: str, prior: dict[str, Any]) -> xr.Dataset:
    """Reconstruct and filter."""
    volume = mbir(measured, **prior)
    if settings == "none":
        return gaussian(volume, width=0.3).compute()
    named: dict[str, Any] = {"weights": settings} if settings.endswith(".safetensors") else {"model": settings}
    return unet(volume, **named).compute()


def judge(name: str, truth: xr.Dataset, measured: xr.Dataset, settings: str, share: float, seed: int) -> list[int]:
    """Plant, trace, judge, and print one line; return the counts."""
    clean = filtered(measured, settings, CLEAR if name == "K" else NOISY)
    true = positions(truth)
    start = positions(peaks(clean, separation=1.6))
    match = ladder(start, true, 1.38)["rigid"]  # all angles off alike turn the whole volume
    false = invented(true, share, np.random.default_rng(seed))
    false = (false - match.motion.shift) @ np.linalg.inv(match.motion.matrix).T
    found = peaks(planted(clean, false), separation=1.6)
    found = found.assign(species=("atom", np.full(found.sizes["atom"], 78, np.int32), {"units": "1"}))
    place = positions(found)
    began = time.process_time()
    judged = support(found, measured)
    spent = time.process_time() - began
    flagged = judged["unsupported"].values
    real = np.asarray(cKDTree(true).query(match.motion(place))[0]) < NEAR
    ours = ~real & (np.asarray(cKDTree(false).query(place)[0]) < NEAR)
    other = ~real & ~ours
    counts = [int(np.count_nonzero(one)) for group in (real, ours, other) for one in (flagged & group, group)]
    print(
        f"{name:14s} {seed:4d}  true {counts[0]:3d} / {counts[1]:5d}  planted {counts[2]:3d} / {counts[3]:3d}  "
        f"other false {counts[4]:2d} / {counts[5]:2d}  CPU s {spent:6.2f}",
        flush=True,
    )
    return counts


def noise(settings: str, seed: int) -> None:
    """Judge what is traced in a filtered volume of noise."""
    empty = images(atoms_dataset(np.zeros((1, 3)), 78), tilts=21, pixels=72, pixel_size=0.358)
    counts = np.random.default_rng(seed).poisson(3.0, empty["image"].shape).astype(np.float32)
    measured = empty.assign(image=(empty["image"].dims, counts, {"units": "count"})).compute()
    found = peaks(filtered(measured, settings, NOISY), separation=1.6)
    count = found.sizes["atom"]
    if count:
        found = found.assign(species=("atom", np.full(count, 78, np.int32), {"units": "1"}))
        count = int((~support(found, measured)["unsupported"].values).sum())
    print(f"{'noise':14s} {seed:4d}  traced {found.sizes['atom']:4d}  not flagged {count}", flush=True)


def multislice(seed: int) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the stored multislice particle, and its images with a source blur of 0.6 angstrom and counting noise."""
    with np.load(sorted(DATA.glob(PATTERN))[0], allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    truth, expected = ATOMS.stamp(atoms(arrays)), TILT_SERIES.stamp(series(arrays))
    area = spacing(expected, "y") * spacing(expected, "x")
    electrons = float(expected["image"].sum(("y", "x")).mean()) * area / truth.sizes["atom"]
    return truth, acquisition(blurred(expected, width=0.6), dose=ELECTRONS / electrons, seed=seed).compute()


def main() -> None:
    """Judge, and print a line for each particle and the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--particles", type=int, default=3)
    parser.add_argument("--settings", default="fcc", help="shipped weights, a .safetensors file, or none for smoothing")
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--smallest", type=float, default=22.0)
    parser.add_argument("--largest", type=float, default=26.0)
    parser.add_argument("--case", nargs="*", default=[*CASES, "ms-0.60", "noise"])
    given = parser.parse_args()
    warnings.simplefilter("ignore", AetxWarning)
    for name in given.case:
        total = np.zeros(6, int)
        for seed in range(given.particles):
            if name == "noise":
                noise(given.settings, seed)
                continue
            if name == "ms-0.60":
                truth, measured = multislice(seed)
            else:
                dose, shape = CASES[name]
                make = amorphous if name == "amorphous" else particle
                truth = make(smallest=given.smallest, largest=given.largest, seed=seed)
                expected = images(
                    truth,
                    tilts=21,
                    first=-65.0,
                    last=65.0,
                    tilt_error=0.4,
                    pixels=144,
                    pixel_size=0.358,
                    profile="kirkland",
                    seed=seed,
                    **{"width": 0.47, **shape},
                )
                measured = acquisition(expected, dose=dose, seed=seed + 10**6).compute()
            total += judge(name, truth, measured, given.settings, given.share, seed)
        if total[1]:
            print(
                f"{name:14s}  all  true {100 * total[0] / total[1]:.2f} %  planted "
                f"{100 * total[2] / max(total[3], 1):.1f} %  other false {total[4]} / {total[5]}"
            )


if __name__ == "__main__":
    main()
