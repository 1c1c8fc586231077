"""Time our projector beside ASTRA's SIRT and scico's transform, in one run.

Run as ``python -m tests.benchmarks.peers_projection --peers PYTHON``, with the interpreter of an environment made by
``python -m venv peers; peers/bin/pip install astra-toolbox scico``. Prints processor seconds (user and system, of the
whole process) of one forward and one back projection of 128 x 128 x 128 voxels at 21 tilts; best of the repetitions.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

SIZE, TILTS = 128, 21

COMMON = """
import json, resource, sys, warnings
import numpy as np
warnings.simplefilter("ignore")
SIZE, TILTS, COUNT = map(int, sys.argv[1:4])
theta = np.deg2rad(np.linspace(-70, 70, TILTS))
wobble = np.deg2rad(np.random.default_rng(0).uniform(-3, 3, (2, TILTS)))
def seconds(act, per=1):
    act()
    best = float("inf")
    for _ in range(COUNT):
        a = resource.getrusage(resource.RUSAGE_SELF)
        act()
        b = resource.getrusage(resource.RUSAGE_SELF)
        best = min(best, b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime)
    return best / per
"""

OURS = """
import torch
from aetx.kernels.projection import Grid, Projector, rotation
found = {}
for name, scale in (("one axis", 0.0), ("Euler", 1.0)):
    r = rotation(scale * wobble[0], theta, scale * wobble[1])
    tool = Projector(r, Grid.centred(SIZE, SIZE, SIZE), Grid.centred(SIZE, SIZE))
    volume = torch.rand(tool.volume_shape)
    out = torch.empty_like(volume)
    def passes():
        for _ in range(10):
            tool.transpose(tool.project(volume), out)
    found[name] = seconds(passes, 10)
print(json.dumps(found))
"""

ASTRA = """
import astra
volume = astra.create_vol_geom(SIZE, SIZE)
geometry = astra.create_proj_geom("parallel", 1.0, SIZE, theta)
projector = astra.create_projector("linear", geometry, volume)
image = astra.data2d.create("-vol", volume, np.random.default_rng(0).random((SIZE, SIZE)))
rays, sinogram = astra.create_sino(astra.data2d.get(image), projector)
slice_ = astra.data2d.create("-vol", volume)
settings = astra.astra_dict("SIRT")
settings.update(ReconstructionDataId=slice_, ProjectionDataId=rays, ProjectorId=projector)
settings["option"] = {"MinConstraint": 0.0}
solver = astra.algorithm.create(settings)
def slices():
    for _ in range(SIZE):
        astra.algorithm.run(solver, 1)
print(json.dumps({"one axis": seconds(slices)}))
"""

SCICO = """
import jax.numpy as jnp
from scico.linop.xray import XRayTransform3D
def turned(a, b, c):
    rz = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rx = np.array([[1, 0, 0], [0, np.cos(c), -np.sin(c)], [0, np.sin(c), np.cos(c)]])
    return (rz @ ry @ rx).T
matrices = np.zeros((TILTS, 2, 4), np.float32)
for i in range(TILTS):
    matrices[i, :, :3] = turned(wobble[0, i], theta[i], wobble[1, i])[:2]
    matrices[i, :, 3] = SIZE / 2 - matrices[i, :, :3] @ np.full(3, SIZE / 2)
tool = XRayTransform3D((SIZE, SIZE, SIZE), matrices, (SIZE, SIZE))
volume = jnp.asarray(np.random.default_rng(0).random((SIZE, SIZE, SIZE), np.float32))
def once():
    tool.adj(tool(volume)).block_until_ready()
print(json.dumps({"Euler": seconds(once)}))
"""


def run(python: str, program: str, count: int) -> dict[str, float]:
    """Run a program in an interpreter and return what it prints."""
    command = [python, "-c", COMMON + program, str(SIZE), str(TILTS), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{python} failed:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Time all three and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter that has astra-toolbox and scico")
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    ours = run(sys.executable, OURS, given.repeat)
    told = ", ".join(f"{case} {taken:.4f}" for case, taken in ours.items())
    print(f"{SIZE}^3 voxels, {TILTS} tilts, forth and back, CPU-s: aetx " + told)
    if given.peers is None:
        return
    for name, program in (("ASTRA SIRT iteration", ASTRA), ("scico", SCICO)):
        for case, taken in run(given.peers, program, given.repeat).items():
            print(f"  {case}: {name} {taken:.3f}, aetx {ours[case]:.4f}: {taken / ours[case]:.1f} times faster")


if __name__ == "__main__":
    main()
