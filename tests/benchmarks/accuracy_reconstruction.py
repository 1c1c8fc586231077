"""Reconstruct one series with every algorithm, each in a process of its own, and print how well and how fast.

Run as ``python -m tests.benchmarks.accuracy_reconstruction [--case NAME ...] [--method NAME ...] [--free] [--peers
PYTHON]``. Cases: ``clean``, ``noisy`` and ``euler`` are a particle of which all is known (fcc Pt, 1,401 Gaussian atoms
of 0.45 A in 128^3 voxels of 0.358 A, 21 tilts from -65 to 65 degree, Poisson noise of 100 electrons per pixel on
average; ``euler`` adds random phi and psi of up to 3 degree); ``glass``, ``film``, ``ta`` and ``asi`` are published
series, looked for in the folder named by ``AETX_DATA``, else beside the checkout (``ta`` and ``ta-next`` are two
neighbouring sub-areas of the film, scored in the authors' tiles). A table for each case is printed in Markdown:
processor seconds and peak memory, correlation with the true or published volume, mean R1, atoms by `trace.peaks` with
its defaults against those known by `measure.compare` (``glass``: peaks of the true volume; ``ta``: the published
traced atoms, a list that was cleaned by hand, so that what is "false" is most often not); with ``--free``, the mean R1
of every seventh tilt, held out of a second reconstruction. The row "published" is the authors' own volume.
``--peers`` adds SVMBIR and ASTRA from an environment made by
``python -m venv peers; peers/bin/pip install "numpy<2.3" cython svmbir astra-toolbox``.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import torch
import xarray as xr
from numpy.typing import NDArray

from aetx.core import Registry
from aetx.core.atoms import atoms_dataset
from aetx.errors import AetxError, AetxWarning, InputError, Problem
from aetx.kernels.projection import rotation
from tests.benchmarks import accuracy_asi, accuracy_film, accuracy_volumes
from tests.benchmarks.accuracy_trace import SIZES, STEP, WIDTH, particle

F64 = NDArray[np.float64]
SIZE, TILTS, LAST, ELECTRONS, WOBBLE = 128, 21, 65.0, 100.0, 3.0
LENGTH, ANGLE = {"units": "angstrom"}, {"units": "degree"}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "wbp": ("wbp", {}),
    "art": ("art", {}),
    "sart": ("sart", {"iterations": 4}),
    "sirt": ("sirt", {}),
    "cgls": ("cgls", {}),
    "resire": ("resire", {}),
    "resire fourier": ("resire", {"interpolation": "fourier", "oversampling": 2.0, "iterations": 40}),
    "resire auto": ("resire", {"iterations": "auto"}),
    "tv": ("tv", {}),
    "mbir": ("mbir", {}),
    "mbir auto": ("mbir", {"strength": "auto"}),
    "genfire": ("genfire", {}),
    "est": ("est", {}),
}
"""What is run where no method is named: the stage, and the parameters that are not its defaults."""

SVMBIR = """
import json, resource, sys
import numpy as np, svmbir
images, theta, passes, place = np.load(sys.argv[1]), np.load(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
def used():
    who = [resource.getrusage(one) for one in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in who)
def run(count):
    size = images.shape[2]
    return svmbir.recon(images.astype(float), np.deg2rad(theta), max_iterations=count, verbose=0, positivity=True,
        num_threads=2, num_rows=size, num_cols=size, svmbir_lib_path=place)
run(1)
began = used()
volume = run(passes)
spent = used() - began
peak = max(resource.getrusage(one).ru_maxrss for one in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
np.save(sys.argv[5], volume.transpose(2, 0, 1))
print(json.dumps({"seconds": spent, "gigabytes": peak / 1e6}))
"""

ASTRA = """
import json, resource, sys
import numpy as np, astra
images, theta, passes = np.load(sys.argv[1]), np.load(sys.argv[2]), int(sys.argv[3])
size, tilts = images.shape[2], len(theta)
space, rays = astra.create_vol_geom(size, size), astra.create_proj_geom("parallel", 1.0, size, np.deg2rad(theta))
tool = astra.create_projector("linear", rays, space)
def run(count):
    made = np.empty((size, images.shape[1], size), np.float32)
    for y in range(images.shape[1]):
        sino, slice_ = astra.data2d.create("-sino", rays, images[:, y]), astra.data2d.create("-vol", space)
        settings = astra.astra_dict("SART")
        settings.update(ReconstructionDataId=slice_, ProjectionDataId=sino, ProjectorId=tool)
        settings["option"] = {"MinConstraint": 0.0}
        solver = astra.algorithm.create(settings)
        astra.algorithm.run(solver, count * tilts)
        made[:, y] = astra.data2d.get(slice_)
        astra.algorithm.delete(solver)
        astra.data2d.delete([sino, slice_])
    return made
run(1)
a = resource.getrusage(resource.RUSAGE_SELF)
volume = run(passes)
b = resource.getrusage(resource.RUSAGE_SELF)
np.save(sys.argv[5], volume)
print(json.dumps({"seconds": b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime, "gigabytes": b.ru_maxrss / 1e6}))
"""
PEERS: dict[str, tuple[str, int]] = {
    "SVMBIR, 10 passes": (SVMBIR, 10),
    "SVMBIR, 20 passes": (SVMBIR, 20),
    "ASTRA SART, 4 sweeps": (ASTRA, 4),
    "ASTRA SART, 12 sweeps": (ASTRA, 12),
}
"""The program of each peer, and its passes."""


@dataclass(frozen=True)
class Case:
    """A series, the density it should give (z, y, x) where it is known, the atoms where they are, and what it needs.

    `tile` is the part, slices of y and x, in which volumes and atoms are compared; `own` the authors' volume (z, y, x);
    `radius` how near a site is to its atom, angstrom.
    """

    series: xr.Dataset
    density: NDArray[np.floating[Any]] | None
    atoms: xr.Dataset | None
    extended: bool = False
    tile: Mapping[str, slice] = field(default_factory=dict)
    own: NDArray[np.floating[Any]] | None = None
    radius: float = 1.0


def known(noisy: bool, wobble: float) -> Case:
    """Return the particle whose images are sums of Gaussians."""
    place, rng = particle(SIZES[SIZE]), np.random.default_rng(5)
    theta, (phi, psi) = np.linspace(-LAST, LAST, TILTS), rng.uniform(-wobble, wobble, (2, TILTS))
    axis = (np.arange(SIZE) - SIZE // 2) * STEP
    images = np.empty((TILTS, SIZE, SIZE))
    for tilt, r in enumerate(rotation(*np.deg2rad([phi, theta, psi]))):
        across, up = (np.exp(-0.5 * ((axis - p[:, None]) / WIDTH) ** 2) for p in (place @ r).T[:2])
        images[tilt] = np.sqrt(2 * np.pi) * WIDTH * up.T @ across
    if noisy:
        gain = images.mean() / ELECTRONS
        images = gain * np.random.default_rng(9).poisson(images / gain)
    x, y, z = (np.exp(-0.5 * ((axis - p[:, None]) / WIDTH) ** 2) for p in place.T)
    series = xr.Dataset(
        {"image": (("tilt", "y", "x"), images.astype(np.float32), {"units": "1"})},
        {
            "tilt": ("tilt", np.arange(TILTS), {"units": "1"}),
            **{n: ("tilt", v, ANGLE) for n, v in (("phi", phi), ("theta", theta), ("psi", psi))},
            **{name: (name, axis, LENGTH) for name in "yx"},
        },
    )
    return Case(series, np.einsum("ni,nj,nk->ijk", z, y, x, optimize=True), atoms_dataset(place, 78))


def film() -> Case:
    """Return the small film that fills its field of view."""
    folder = accuracy_volumes.DATA / "film_example"
    images, angles = (
        scipy.io.loadmat(folder / file)[name]
        for file, name in (("example_projections.mat", "example_projections"), ("angles.mat", "refined_angles"))
    )
    return Case(accuracy_volumes.tilt_series(images, angles, 1.0), None, None, extended=True)


def glass() -> Case:
    """Return the simulated metallic glass; its atoms are the peaks of its true volume."""
    series, density = accuracy_volumes.glass_series(), accuracy_volumes.glass_truth()
    folder = accuracy_volumes.DATA / "metallic_glass" / "sample"
    with np.load(folder / "sample_amorphous_res_decoded.npz") as kept:
        own = kept["reconstruction"].transpose(2, 1, 0)
    return Case(series, density, Registry().stage("trace.peaks")(volume_of(density, series)).load(), own=own)


def ta(area: int) -> Case:
    """Return a sub-area of the tantalum film; its atoms are those that the authors traced there."""
    series, own = accuracy_volumes.ta_area(area), accuracy_volumes.ta_volume(area)
    sites = scipy.io.loadmat(accuracy_volumes.DATA / "ta_film_saet" / "atoms_rows1-3.mat")["prerefine_A"].T.astype(
        float
    )
    held = accuracy_film.inside(sites, accuracy_film.tiles([area]))
    atoms = accuracy_film.sites(sites[held])
    return Case(series, own, atoms, True, accuracy_volumes.TA_TRIM, own, accuracy_film.RADIUS)


def asi() -> Case:
    """Return the counts of 208 silicon atoms at 1.6e5 electrons per square angstrom, without their background."""
    cleared = Registry().stage("prepare.background")(accuracy_asi.counts("1p6e5"), margin=2.5)
    return Case(cleared.load(), None, accuracy_asi.truth())


def volume_of(density: NDArray[np.floating[Any]], series: xr.Dataset) -> xr.Dataset:
    """Return a density (z, y, x), as deep as wide, on the grid of a series as a volume."""
    step, place = float(series["x"][1] - series["x"][0]), dict.fromkeys("zyx", 0.0)
    if "origin" in series:
        place = {axis: float(series["origin"].sel(axis=axis)) for axis in "zyx"}
    axes = {
        axis: (axis, place[axis] + step * (np.arange(size) - size // 2), LENGTH)
        for axis, size in zip("zyx", density.shape, strict=True)
    }
    return xr.Dataset({"density": (("z", "y", "x"), density.astype(np.float32), {"units": "count/angstrom"})}, axes)


CASES: dict[str, Callable[[], Case]] = {
    "clean": lambda: known(noisy=False, wobble=0.0),
    "noisy": lambda: known(noisy=True, wobble=0.0),
    "euler": lambda: known(noisy=True, wobble=WOBBLE),
    "glass": glass,
    "film": film,
    "ta": lambda: ta(22),
    "ta-next": lambda: ta(23),
    "asi": asi,
}


def measured(case: Case, name: str, free: bool) -> dict[str, float]:
    """Return what is known of one reconstruction."""
    stage_name, params = METHODS[name]
    stage = Registry().stage(f"reconstruct.{stage_name}")
    if case.extended:
        if "extended" not in stage.params.model_fields:
            problem = Problem("series", "image", "film that fills them", "a specimen inside them", "use another method")
            raise InputError(problem)
        params = {**params, "extended": True}
    small = case.series.isel(tilt=slice(0, 5), y=slice(0, 16), x=slice(0, 16))
    quick = {name: value for name, value in params.items() if value != "auto"}
    stage(small, **{**quick, **({"iterations": 2} if "iterations" in quick else {})})  # compile
    began = accuracy_volumes.cpu_seconds()
    volume = stage(case.series, **params)
    spent = accuracy_volumes.cpu_seconds() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    found = {"seconds": spent, "gigabytes": peak, **scored(case, volume)}
    if "best_iterations" in volume:
        found["iterations"] = float(volume["best_iterations"])
    if free:
        held = np.arange(case.series.sizes["tilt"]) % 7 == 3
        rest = stage(case.series.isel(tilt=~held), **params)
        judge = Registry().stage("measure.r_factor")
        found["free"] = float(judge(case.series.isel(tilt=held), rest, extended=case.extended)["mean_r1"])
    return found


def scored(case: Case, volume: xr.Dataset) -> dict[str, float]:
    """Return correlation, R1 and atoms of a volume."""
    found: dict[str, float] = {}
    if case.density is not None:
        wanted = volume["density"].copy(data=case.density)
        both = (one.isel(case.tile).values for one in (volume["density"], wanted))
        found["correlation"] = accuracy_volumes.correlation(*both)
    if "r1" in volume:
        found["r1"] = float(volume["r1"].mean())
    elif not case.extended:
        found["r1"] = float(Registry().stage("measure.r_factor")(case.series, volume)["mean_r1"])
    atoms = Registry().stage("trace.peaks")(volume)
    found["atoms"] = float(_in_tile(case, volume, atoms, 0.0).sum())
    if case.atoms is not None:
        near = np.flatnonzero(_in_tile(case, volume, atoms, case.radius))
        align = "none" if case.tile else "translation"
        score = Registry().stage("measure.compare")(atoms.isel(atom=near), case.atoms, align=align, radius=case.radius)
        count = case.atoms.sizes["atom"]
        false = atoms.sel(atom=score["false_atom"].values)
        found["missed"] = 100 * float(score["missed"]) / count
        found["false"] = 100 * float(_in_tile(case, volume, false, 0.0).sum()) / count
        found["rmsd"] = 100 * float(score["rmsd"])
    return found


def _in_tile(case: Case, volume: xr.Dataset, atoms: xr.Dataset, margin: float) -> NDArray[np.bool_]:
    """Tell which atoms lie in the tile of a case, or nearer to it than the margin."""
    inside = np.ones(atoms.sizes["atom"], bool)
    for axis, part in case.tile.items():
        kept, place = volume[axis][part].values, atoms["position"].sel(axis=axis).values
        reach = margin + 0.5 * float(kept[1] - kept[0])
        inside &= (place >= kept[0] - reach) & (place <= kept[-1] + reach)
    return inside


def published(case: Case) -> dict[str, float]:
    """Return what is known of the authors' own volume."""
    assert case.own is not None
    volume = volume_of(case.own / np.float32(float(case.series["x"][1] - case.series["x"][0])), case.series)
    found = scored(case, volume)
    if case.own is case.density:
        del found["correlation"]
    return found


def peer(case: Case, name: str, python: str) -> dict[str, float]:
    """Return what is known of a reconstruction by another program, for tilts about y.

    The first column of the images is left out, so that their middle is the rotation axis, as these programs have it.
    Of the two hands, that which is nearer to the truth is scored.
    """
    assert case.density is not None
    program, passes = PEERS[name]
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/images.npy", case.series["image"].values[:, :, 1:] / np.float32(STEP))
        np.save(f"{folder}/theta.npy", case.series["theta"].values)
        given = [f"{folder}/images.npy", f"{folder}/theta.npy", str(passes), folder, f"{folder}/volume.npy"]
        done = subprocess.run([python, "-c", program, *given], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{python} failed:\n{done.stderr[-2000:]}")
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        cropped = np.load(f"{folder}/volume.npy").astype(np.float32)
    hands = [np.pad(one, ((1, 0), (0, 0), (1, 0))) for one in (cropped, cropped[::-1], cropped[:, :, ::-1])]
    density = max(hands, key=lambda one: accuracy_volumes.correlation(one, np.asarray(case.density)))
    axis = (np.arange(SIZE) - SIZE // 2) * STEP
    axes = {name: (name, axis, LENGTH) for name in "zyx"}
    volume = xr.Dataset({"density": (("z", "y", "x"), density, {"units": "1/angstrom"})}, axes)
    return found | scored(case, volume)


COLUMNS = {
    "seconds": ("CPU s", ".2f"),
    "gigabytes": ("GB", ".2f"),
    "correlation": ("r", ".3f"),
    "r1": ("R1", ".4f"),
    "free": ("R free", ".4f"),
    "atoms": ("atoms", ".0f"),
    "missed": ("missed %", ".2f"),
    "false": ("false %", ".2f"),
    "rmsd": ("RMSD / pm", ".1f"),
    "iterations": ("steps", ".0f"),
}


def table(rows: Mapping[str, Mapping[str, float] | str]) -> str:
    """Return a table in Markdown, without the columns that nothing fills; below it what was refused."""
    filled = [key for key in COLUMNS if any(key in one for one in rows.values() if not isinstance(one, str))]
    lines = [["algorithm", *(COLUMNS[key][0] for key in filled)], ["---"] * (len(filled) + 1)]
    for name, found in rows.items():
        if not isinstance(found, str):
            lines.append([name, *(format(found[key], COLUMNS[key][1]) if key in found else "" for key in filled)])
    text = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([*text, *(f"\n{name}: {found}" for name, found in rows.items() if isinstance(found, str))])


def main() -> None:
    """Print a table for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=CASES, default=["clean", "noisy", "euler"])
    parser.add_argument("--method", nargs="+", choices=METHODS, help="default: all that are installed")
    parser.add_argument("--free", action="store_true", help="reconstruct again without every seventh tilt")
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter that has svmbir and astra-toolbox")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    warnings.simplefilter("ignore", AetxWarning)
    if given.one:
        try:
            print(json.dumps(measured(CASES[given.case[0]](), given.method[0], given.free)))
        except AetxError as error:
            print(json.dumps({"refused": str(error).replace("\n", " ")}))
        return
    there = {name.partition(".")[2] for name in Registry().stage_names() if name.startswith("reconstruct.")}
    for case in given.case:
        rows: dict[str, Mapping[str, float] | str] = {}
        for name in given.method or [one for one, (stage, _) in METHODS.items() if stage in there]:
            rows[name] = _alone(case, name, given.threads, given.free)
            print(f"{case} {name}: {json.dumps(rows[name])}", file=sys.stderr, flush=True)
        known_case = CASES[case]()
        if known_case.own is not None:
            rows["published"] = published(known_case)
        if given.peers and case in ("clean", "noisy"):
            rows |= {name: peer(known_case, name, given.peers) for name in PEERS}
        print(f"\n{case}\n\n{table(rows)}", flush=True)


def _alone(case: str, name: str, threads: int, free: bool) -> Mapping[str, float] | str:
    """Return what a process of its own finds, or why it cannot."""
    command = [sys.executable, "-m", __spec__.name, "--one", "--case", case, "--method", name]
    command += ["--threads", str(threads)] + ["--free"] * free
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    if done.returncode:
        return f"failed: {done.stderr.strip().splitlines()[-1]}"
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return str(found["refused"]) if "refused" in found else found


if __name__ == "__main__":
    main()
