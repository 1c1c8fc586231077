"""From a simulated particle to its atoms, by calling stages as functions, and how far the atoms are from the truth."""

import numpy as np
from scipy.spatial import KDTree

from aetx.core import Registry

stage = Registry().stage


def main() -> tuple[int, int, float]:
    """Return the number of true atoms, of those found within 1 angstrom, and their distance in pm (r.m.s.)."""
    truth = stage("simulate.particle")(smallest=14.0, largest=16.0, seed=1)
    expected = stage("simulate.images")(truth, pixels=80, pixel_size=0.358, first=-70.0, last=70.0, tilt_error=0.4)
    series = stage("simulate.acquisition")(expected, dose=7656.0, background=0.001)
    cleared = stage("prepare.background")(series)
    volume = stage("reconstruct.resire")(cleared, iterations=30, tolerance=0.0)
    atoms = stage("trace.peaks")(volume, separation=1.6, threshold=0.4)

    true, found = (one["position"].sel(axis=["x", "y", "z"]).values for one in (truth, atoms))
    distance, nearest = KDTree(true).query(found, distance_upper_bound=1.0)
    close = np.isfinite(distance)
    rms = 100 * float(np.sqrt(np.mean(distance[close] ** 2)))
    return len(true), len(set(nearest[close])), rms


if __name__ == "__main__":
    true, matched, rms = main()
    print(f"{matched} of {true} atoms found, {rms:.1f} pm from where they are")
