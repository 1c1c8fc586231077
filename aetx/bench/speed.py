"""Times of the steps that take long, each alone, beside those of other programs on the same specimen."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aetx.bench._benchmark import Benchmark, Case, Published
from aetx.bench._clock import Clock, Timed
from aetx.bench._phantom import NOISE, STEP, ball, least_error, volume
from aetx.model import positions

SIZE, TILTS = 128, 21
"""Edge of the volumes and images, and number of the images, where nothing else is said."""
BOX, SLICE, SCAN_STEP = 46.0, 2.0, 0.27
"""Edge of the box of the electron waves, thickness of a slice and step of the scan, angstrom."""
MEAN = 100.0
"""Electrons in a pixel of the images that are reconstructed, on average."""


def _projection(wobble: float, seed: int) -> Timed:
    import torch

    from aetx.kernels.projection import Grid, Projector, rotation

    generator = np.random.default_rng(seed)
    phi, psi = np.deg2rad(generator.uniform(-wobble, wobble, (2, TILTS)))
    turned = rotation(phi, np.deg2rad(np.linspace(-65, 65, TILTS)), psi)
    tool = Projector(turned, Grid.centred(SIZE, SIZE, SIZE), Grid.centred(SIZE, SIZE))
    density = torch.rand(tool.volume_shape, generator=torch.Generator().manual_seed(seed))
    out = torch.empty_like(density)
    return Timed(lambda: tool.transpose(tool.project(density), out))


def project_axis(seed: int) -> Timed:
    """Project a volume forth and back, tilted about one axis."""
    return _projection(0.0, seed)


def project_euler(seed: int) -> Timed:
    """Project a volume forth and back, at angles of which all three vary."""
    return _projection(3.0, seed)


def reconstruct(seed: int) -> Timed:
    """Reconstruct noisy images, and trace them to see that it was done well."""
    from aetx.stages.reconstruct.resire import resire
    from aetx.stages.simulate.acquisition import acquisition
    from aetx.stages.simulate.images import images

    truth = ball(1401, seed)
    expected = images(truth, tilts=TILTS, pixels=SIZE, pixel_size=STEP)
    dose = MEAN / (STEP**2 * float(expected["image"].mean()))
    series = acquisition(expected, dose=dose, seed=seed).compute()
    return Timed(lambda: resire(series), score=lambda found: _traced(found, truth))


def _trace(count: int, size: int, seed: int) -> Timed:
    from aetx.stages.trace.peaks import peaks

    truth = ball(count, seed)
    density = volume(truth, size, NOISE, seed)
    return Timed(lambda: peaks(density), score=lambda found: {**_score(found, truth), "bound": least_error()})


def trace_1401(seed: int) -> Timed:
    """Trace 1,401 atoms."""
    return _trace(1401, 128, seed)


def trace_20154(seed: int) -> Timed:
    """Trace 20,154 atoms."""
    return _trace(20154, 256, seed)


def render(seed: int) -> Timed:
    """Draw images of 1,401 atoms."""
    from aetx.stages.simulate.images import images

    atoms = ball(1401, seed)
    score = {"atoms": atoms.sizes["atom"]}
    return Timed(lambda: images(atoms, tilts=TILTS, pixels=SIZE).compute(), units=TILTS, score=lambda _: score)


def _waves(window: float, edge: int, seed: int) -> Timed:
    """Return probes that go through 23 slices, in the whole box or in windows."""
    from aetx.kernels.stem import Slicing, scan_multislice

    box, optics, atoms = _microscope(seed)
    place, number = positions(atoms), atoms["species"].values
    axis = _scan(edge)
    probes = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)

    def scan() -> object:
        return scan_multislice(box, place, number, probes, optics, Slicing(SLICE, 1), window, "cpu")

    return Timed(scan, units=len(probes), score=lambda _: {"atoms": len(place)})


def multislice_box(seed: int) -> Timed:
    """Send 16 probes through the whole box."""
    return _waves(0.0, 4, seed)


def multislice_window(seed: int) -> Timed:
    """Send 256 probes through windows of 16 angstrom."""
    return _waves(16.0, 16, seed)


def prism(seed: int) -> Timed:
    """Make an image of 128 x 128 probes by PRISM."""
    from aetx.kernels.prism import scan_prism
    from aetx.kernels.stem import Slicing

    box, optics, atoms = _microscope(seed)
    place, number = positions(atoms), atoms["species"].values
    axis, wanted = _scan(SIZE), np.ones((SIZE, SIZE), bool)

    def scan() -> object:
        return scan_prism(box, place, number, axis, axis, wanted, optics, Slicing(SLICE, 1), 4, "cpu")

    return Timed(scan, score=lambda _: {"atoms": len(place)}, warm=lambda: None)


def _scan(count: int) -> NDArray[np.float64]:
    """Return where the probes of a row stand, angstrom."""
    return SCAN_STEP * (np.arange(count, dtype=float) - count // 2)


def _microscope(seed: int) -> tuple[Any, Any, xr.Dataset]:
    """Return a box of 512 x 512 pixels, 300 keV, 25 mrad, a detector of 40 to 70 mrad, and 1,401 atoms 46 deep."""
    from aetx.kernels.multislice import WaveGrid
    from aetx.kernels.optics import Aberrations
    from aetx.kernels.stem import Box, Optics

    grid = WaveGrid(512, 512, BOX / 512, 300.0)
    return (
        Box(grid, (-BOX / 2, -BOX / 2)),
        Optics(300.0, 25.0, 40.0, 70.0, Aberrations()),
        ball(1401, seed, depth=1.5),
    )


def _traced(found: xr.Dataset, truth: xr.Dataset) -> dict[str, Any]:
    from aetx.stages.augment.gaussian import gaussian
    from aetx.stages.trace.peaks import peaks

    return _score(peaks(gaussian(found, width=0.3).compute(), separation=1.6), truth)


def _score(found: xr.Dataset, truth: xr.Dataset) -> dict[str, Any]:
    from aetx.stages.measure.compare import compare

    score = compare(found, truth, align="translation", radius=1.0, resamples=100)
    wrong = int(score["missed"]) + int(score["false"])
    return {"atoms": int(score["true"]), "wrong": wrong, "pairs": int(score["common"]), "rmsd": float(score["rmsd"])}


speed = Benchmark(
    name="speed",
    summary="processor seconds of one core and peak memory of single steps; each in a fresh process, compiled before",
    cases=(
        Case(
            "project-axis",
            f"{SIZE} x {SIZE} x {SIZE} voxels projected forth and back, {TILTS} tilts about one axis",
            published=(
                Published("ASTRA 2.5.0, one SIRT iteration", cpu_seconds=0.34),
                Published("sparse matrix of SciPy", cpu_seconds=0.022),
            ),
        ),
        Case(
            "project-euler",
            "the same, all three angles vary by 3 degrees",
            published=(
                Published("scico 0.0.7", cpu_seconds=2.3),
                Published("GENFIRE-Python 1.1.11, one iteration on a grid of 256^3", cpu_seconds=0.48),
            ),
        ),
        Case(
            "reconstruct",
            f"reconstruct.resire of {TILTS} images of 1,401 atoms, {SIZE}^3 voxels, {MEAN:g} electrons in a pixel; "
            "then smoothed and traced for the score, which is not timed",
            published=(
                Published("SVMBIR 0.5.0, 10 iterations, traced by a parabola", 0.57, 13.2, cpu_seconds=5.55),
                Published("ASTRA 2.5.0, SART, 5 sweeps, traced by a parabola", 4.07, 15.5, cpu_seconds=2.4),
            ),
        ),
        Case(
            "trace-1401",
            "trace.peaks of 1,401 atoms in 128^3 voxels, noise 5 % of a peak",
            published=(
                Published("scikit-image and SciPy, a Gaussian fitted to each", 0.0, 1.69, cpu_seconds=1.73),
                Published("trackpy 0.7", 0.0, 2.37, cpu_seconds=0.75),
            ),
        ),
        Case(
            "trace-20154",
            "the same of 20,154 atoms in 256^3 voxels",
            published=(
                Published("trackpy 0.7", 0.0, 2.23, cpu_seconds=2.45),
                Published("scikit-image and SciPy, a Gaussian fitted to each", 0.0, 1.68, cpu_seconds=22.0),
            ),
        ),
        Case(
            "render",
            f"simulate.images of 1,401 atoms in {SIZE} x {SIZE} pixels, one image",
            published=(Published("projection and blur by SciPy, 512 x 512 pixels", cpu_seconds=0.016),),
        ),
        Case(
            "multislice",
            "one probe through 1,401 atoms by multislice, 23 slices of 512 x 512 pixels, with its share of the "
            "potential at 16 probes",
            published=(
                Published("abTEM 1.0.11", cpu_seconds=0.083),
                Published("its Fourier transforms alone, at 1.2 ms each", cpu_seconds=0.053),
            ),
        ),
        Case(
            "multislice-window",
            "the same in a window of 16 angstrom around the probe, 256 probes",
            published=(Published("abTEM 1.0.11, whole box", cpu_seconds=0.083),),
        ),
        Case(
            "prism",
            "128 x 128 probes through the same by PRISM, every fourth plane wave",
            published=(
                Published("abTEM 1.0.11", cpu_seconds=90.7),
                Published("pyprismatic 1.1.16", cpu_seconds=184.0),
                Published("its Fourier transforms and sums alone", cpu_seconds=55.0),
            ),
        ),
    ),
    work=Clock(
        {
            "project-axis": project_axis,
            "project-euler": project_euler,
            "reconstruct": reconstruct,
            "trace-1401": trace_1401,
            "trace-20154": trace_20154,
            "render": render,
            "multislice": multislice_box,
            "multislice-window": multislice_window,
            "prism": prism,
        }
    ),
    particles=1,
    shown="cpu_seconds",
)
