"""Time our multislice and PRISM beside abTEM's, in one run, at equal sampling.

Run as ``python -m tests.benchmarks.peers_multislice``. The specimen is an fcc Pt ellipsoid of 1,401 atoms that fills
the depth of a box of 46 angstrom: 512 x 512 pixels, 23 slices of 2 angstrom, 300 keV, 25 mrad, detector 40-70 mrad,
atoms at rest and on pixels, since abTEM spreads an atom over the nearest ones, and potentials no finer than the waves.
Prints processor seconds (user and system, of the whole process) per probe in the whole box, the same beside the time
of its transforms alone, and of a PRISM scan of 128 x 128 probes with f = 4, whose plane waves are timed whole and whose
probes on every 16th row, scaled to all (``--whole`` for all). Each part runs in a process of its own, on one thread.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

import numpy as np

COMMON = """
import json, resource, sys, warnings
import numpy as np, torch
warnings.simplefilter("ignore")
torch.set_num_threads(1)
N, EDGE, SLICES, SCAN, FACTOR = 512, 46.0, 23, 128, 4
PROBES, WHOLE = int(sys.argv[1]), sys.argv[2] == "1"
grid = np.stack(np.meshgrid(*[np.arange(-14, 15)] * 3, indexing="ij"), -1).reshape(-1, 3)
turn = np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))[0]
grid = grid[grid.sum(1) % 2 == 0] @ turn * 1.956
order = np.argsort(grid[:, 0] ** 2 + grid[:, 1] ** 2 + (grid[:, 2] / 1.5) ** 2, kind="stable")[:1401]
position = grid[order] + np.random.default_rng(4).normal(0, 0.05, (1401, 3)) - [0, 0, 1]
position[:, :2] = np.round(position[:, :2] * N / EDGE) * EDGE / N
numbers = np.full(1401, 78)
axis = (np.arange(SCAN) - SCAN // 2) * 0.27
def used():
    now = resource.getrusage(resource.RUSAGE_SELF)
    return now.ru_utime + now.ru_stime
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
some = np.random.default_rng(5).permutation(SCAN * SCAN)[:PROBES]
probes = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)[some]
"""

OURS_COMMON = """
from aetx.kernels.multislice import WaveGrid
from aetx.kernels.optics import Aberrations
from aetx.kernels import stem
from aetx.kernels import prism as prism_kernel
optics = stem.Optics(300.0, 25.0, 40.0, 70.0, Aberrations())
slicing = stem.Slicing(2.0, 1)
box = stem.Box(WaveGrid(N, N, EDGE / N, 300.0), (-EDGE / 2, -EDGE / 2))
"""

OURS = (
    OURS_COMMON
    + """
stem.scan_multislice(box, position[:2], numbers[:2], probes[:1], optics, slicing, 0.0, "cpu")
start = used(); specimen = stem.Specimen(box, position, numbers, slicing, "cpu"); build = used() - start
best = float("inf")
for _ in range(3):
    start = used()
    values = stem.scan_multislice(box, position, numbers, probes, optics, slicing, 0.0, "cpu")
    best = min(best, used() - start - build)
together = max(1, stem.CACHED // N**2)
waves = torch.randn(together, N, N, dtype=torch.complex64)
limit = float("inf")
for _ in range(3):
    start = used()
    for _ in range(10):
        torch.fft.ifft2(torch.fft.fft2(waves))
    limit = min(limit, (used() - start) / 10 / together)
print(json.dumps({"probe": best / PROBES, "build": build, "slices": len(specimen.slices),
                  "limit": limit * len(specimen.slices), "values": values.tolist(), "peak": peak()}))
"""
)

THEIRS_COMMON = """
import abtem, ase
atoms = ase.Atoms(numbers=numbers, positions=position + [EDGE / 2, EDGE / 2, 24], cell=[EDGE] * 3)
abtem.config.set({"device": "cpu", "precision": "float32"})
potential = abtem.Potential(atoms, gpts=(N, N), slice_thickness=2.0, parametrization="kirkland", projection="infinite")
detector = abtem.AnnularDetector(inner=40, outer=70)
"""

THEIRS = (
    THEIRS_COMMON
    + """
potential = potential.build(lazy=False)
probe = abtem.Probe(energy=300e3, semiangle_cutoff=25, C10=-23.0)
probe.grid.match(potential)
scan = abtem.CustomScan(probes + EDGE / 2)
probe.scan(potential, scan=abtem.CustomScan(probes[:2] + EDGE / 2), detectors=detector, lazy=False)
best = float("inf")
for _ in range(3):
    start = used()
    values = probe.scan(potential, scan=scan, detectors=detector, lazy=False)
    best = min(best, used() - start)
print(json.dumps({"probe": best / PROBES, "slices": len(potential), "values": np.asarray(values.array).tolist(),
                  "peak": peak()}))
"""
)

OURS_PRISM = (
    OURS_COMMON
    + """
def timed(rows):
    start = used()
    beams = prism_kernel.Beams(box, position, numbers, optics, slicing, FACTOR, "cpu")
    middle = used()
    values = np.array([beams.row(float(axis[row]) + EDGE / 2, axis + EDGE / 2) for row in rows])
    return middle - start, used() - middle, int(sum(beams.counts)), values
rows = range(SCAN) if WHOLE else range(0, SCAN, 16)
build, scan, count, values = timed(rows)
print(json.dumps({"build": build, "scan": scan * SCAN / len(rows), "beams": count, "values": values[:, ::16].tolist(),
                  "peak": peak()}))
"""
)

THEIRS_PRISM = (
    THEIRS_COMMON
    + """
import dask
dask.config.set(scheduler="synchronous")
start = used()
matrix = abtem.SMatrix(potential=potential, energy=300e3, semiangle_cutoff=25, interpolation=FACTOR)
built = matrix.build(lazy=False)
rows = range(SCAN) if WHOLE else range(0, SCAN, 16)
first, last = axis[0] + EDGE / 2, axis[0] + EDGE / 2 + SCAN * 0.27
scan = abtem.GridScan(start=(first, first), end=(last, last), gpts=(SCAN, len(rows)), endpoint=False)
ctf = abtem.CTF(energy=300e3, semiangle_cutoff=25, C10=-23.0)
build = used() - start
few = abtem.GridScan(start=(first, first), end=(first + 1, first + 1), gpts=(2, 2), endpoint=False)
built.reduce(scan=few, detectors=detector, ctf=ctf).compute()
middle = used()
values = built.reduce(scan=scan, detectors=detector, ctf=ctf)
values = np.asarray(values.compute().array if hasattr(values.array, "compute") else values.array).T
print(json.dumps({"build": build, "scan": (used() - middle) * SCAN / len(rows),
                  "beams": len(built.wave_vectors), "values": values[:, ::16].tolist(), "peak": peak()}))
"""
)


Found = dict[str, Any]


def run(program: str, probes: int, whole: bool) -> Found:
    """Run a program in a process of its own and return what it prints."""
    command = [sys.executable, "-c", COMMON + program, str(probes), str(int(whole))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"a program failed:\n{done.stderr[-3000:]}")
    found: Found = json.loads(done.stdout.splitlines()[-1])
    return found


def told(ours: Found, theirs: Found) -> None:
    """Print the times of the multislice."""
    probe, limit = ours["probe"] * 1e3, ours["limit"] * 1e3
    print(f"multislice, aetx: {probe:.0f} CPU-ms per probe, {ours['slices']} slices, {gib(ours)}")
    print(f"multislice, abTEM: {theirs['probe'] * 1e3:.0f} CPU-ms per probe, {theirs['slices']} slices, {gib(theirs)}")
    print(f"  ratio {ours['probe'] / theirs['probe']:.2f}; {agreement(ours, theirs)}")
    print(f"  the transforms alone: {limit:.0f} CPU-ms, aetx at {probe / limit:.2f} times that")


def gib(one: Found) -> str:
    """Return the greatest memory of a process in words."""
    return f"{one['peak'] / 2**30:.2f} GiB at the peak"


def agreement(ours: Found, theirs: Found) -> str:
    """Return in words how alike the intensities are."""
    a, b = (np.ravel(one["values"]) for one in (ours, theirs))
    return f"intensities: correlation {np.corrcoef(a, b)[0, 1]:.5f}, mean {a.mean() / b.mean():.4f} times abTEM's"


def main() -> None:
    """Time all and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probes", type=int, default=8, help="probes of the multislice that are timed")
    parser.add_argument("--whole", action="store_true", help="the whole PRISM scan, not a part that is scaled")
    parser.add_argument("--only", choices=("multislice", "prism"))
    given = parser.parse_args()
    if given.only != "prism":
        ours, theirs = (run(program, given.probes, False) for program in (OURS, THEIRS))
        told(ours, theirs)
    if given.only != "multislice":
        ours, theirs = (run(program, given.probes, given.whole) for program in (OURS_PRISM, THEIRS_PRISM))
        for name, one in (("aetx", ours), ("abTEM", theirs)):
            print(f"PRISM f=4, {name}: {one['build']:.1f} + {one['scan']:.1f} CPU-s, {one['beams']} beams, {gib(one)}")
        ratio = (ours["build"] + ours["scan"]) / (theirs["build"] + theirs["scan"])
        print(f"  ratio {ratio:.2f}; {agreement(ours, theirs)}")


if __name__ == "__main__":
    main()
