"""Follow raw, misaligned frames to atoms, and print how far these are from those of an ideal, aligned series.

Run as ``python -m tests.benchmarks.accuracy_raw [--seeds 0 1] [--diameter 22] [--dose 1.6e5]``. A random fcc Pt
particle at tilts of -65 to 65 degrees about an axis 1.5 degrees off y and 2 pixels off the centre, all three angles
wrong by up to 0.4 degrees, shifts of a standard deviation of 1.73 pixels (that of even ones up to 3), three frames for
each tilt, the second scanned at right angles, a drift of 5 pixels during each frame, rows that jump by 0.3 pixels, a
background; 1.6e5 e/angstrom**2 in all, 7.6e3 for each tilt. The ideal series has the same dose, poses that are known,
and no background; or the same background, whose noise no alignment takes away, less what is expected of it. All are
reconstructed, traced and refined alike.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import xarray as xr

from aetx.core.model_images import euler
from aetx.core.tilts import centred_axis, pose_coords
from aetx.errors import AetxWarning
from aetx.kernels.projection import rotation
from aetx.stages.align.axis import axis
from aetx.stages.align.centre import centre
from aetx.stages.align.reproject import reproject
from aetx.stages.augment.gaussian import gaussian
from aetx.stages.measure.compare import compare
from aetx.stages.prepare.background import background
from aetx.stages.prepare.raw_hot_pixels import raw_hot_pixels
from aetx.stages.prepare.scan import scan
from aetx.stages.reconstruct.resire import resire
from aetx.stages.refine.images import images as refine
from aetx.stages.simulate.acquisition import acquisition
from aetx.stages.simulate.frames import frames
from aetx.stages.simulate.images import images as simulate
from aetx.stages.simulate.particle import particle
from aetx.stages.trace.peaks import peaks

STEP, TILTS, AZIMUTH, OFFSET, BACKGROUND = 0.358, 21, 1.5, 2, 0.001


def specimen(diameter: float, seed: int) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
    """Return atoms, their images about an axis that is off, and the poses that are stated for these."""
    atoms = particle(smallest=diameter, largest=diameter + 2, seed=seed)
    theta, none = np.linspace(-65, 65, TILTS), np.zeros(TILTS)
    turned = rotation(none, np.deg2rad(theta), none) @ rotation(np.deg2rad([-AZIMUTH]), none[:1], none[:1])
    stated = np.stack([none, theta, none], axis=1)
    pixels = 2 * round((diameter + 22) / STEP / 2)
    grid = {name: centred_axis(name, pixels, STEP) for name in ("y", "x")}
    empty = ("tilt", "y", "x"), np.zeros((TILTS, pixels, pixels), np.float32), {"units": "1"}
    like = xr.Dataset({"image": empty}, {**pose_coords(euler(turned, stated)), **grid})
    return atoms, simulate(atoms, like, tilt_error=0.4, profile="kirkland", seed=seed), xr.Dataset(pose_coords(stated))


def scored(series: xr.Dataset, truth: xr.Dataset) -> tuple[str, list[float]]:
    """Return in words how many atoms are missed and false, and how far they are in pm, traced and refined."""
    atoms = peaks(gaussian(resire(series), width=0.3).compute(), separation=1.6)
    atoms["species"][:] = 78
    said, rmsd = [], []
    for found in (atoms, refine(atoms, series)):
        score = compare(found, truth, align="rigid", radius=1.38)
        rmsd.append(100 * float(score["rmsd"]))
        said.append(f"{int(score['missed'])} missed, {int(score['false'])} false, {rmsd[-1]:.2f} pm")
    return "traced " + "; refined ".join(said), rmsd


def main() -> None:
    """Print a row for each seed and way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--diameter", type=float, default=22.0)
    parser.add_argument("--dose", type=float, default=1.6e5, help="of all tilts together, e/angstrom**2")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore", AetxWarning)
    dose = chosen.dose / TILTS
    for seed in chosen.seeds:
        truth, expected, stated = specimen(chosen.diameter, seed)
        true = {name: expected[f"true_{name}"].values for name in ("phi", "theta", "psi")}
        known = expected.assign_coords(pose_coords(np.stack(list(true.values()), axis=1)))
        best = []
        for level, name in ((0.0, "ideal"), (BACKGROUND, "ideal with background")):
            ideal = acquisition(known, dose=dose, background=level, seed=seed).compute()
            flat = np.float32(level * dose * STEP**2)
            text, rmsd = scored(ideal.assign(image=(ideal["image"] - flat).assign_attrs(units="count")), truth)
            best.append(rmsd)
            print(f"seed {seed}, {truth.sizes['atom']} atoms, {name}: {text}", flush=True)
        raw = frames(
            expected,
            frames=3,
            scan_directions=(0.0, 90.0, 0.0),
            dose=dose,
            background=BACKGROUND,
            shift=3 / 3**0.5 * STEP,
            drift=5 * STEP,
            jitter=0.3 * STEP,
            seed=seed,
        ).compute()
        raw = raw.roll(x=OFFSET, roll_coords=False).assign_coords(stated.coords)
        began = time.process_time()
        series = scan(raw_hot_pixels(raw)).compute()
        cleared = background(series).compute()
        aligned = reproject(centre(axis(cleared, position=False)))
        text, rmsd = scored(aligned, truth)
        spent = time.process_time() - began
        more = "; ".join(
            ", ".join(f"{100 * (one / other - 1):+.0f} %" for one, other in zip(rmsd, each, strict=True))
            for each in best
        )
        print(f"seed {seed}, from raw frames: {text}; {more}; {spent:.0f} CPU s", flush=True)


if __name__ == "__main__":
    main()
