"""Atoms traced in volumes before and after a learned filter, and what the filter costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from aetx.bench._benchmark import Benchmark, Case, Measured, Published, Task, Work
from aetx.bench._clock import Clock, Timed
from aetx.bench._multislice import multislice_series
from aetx.bench._recipe import Recipe
from aetx.bench.accuracy_linear import LEE, WEIGHTS

SIRT = "SIRT, 30 iterations, traced, on particles like these"
NETWORK = "a small network of 123,000 parameters, on particles like these"
ONLY_MEASURED = "no number is published for these particles"

RAW = {"filter": "augment.gaussian", "settings": "{width: 0.3 angstrom}"}
"""No network: a little smoothing, without which noise has maxima everywhere."""
BRIGHT = {
    "dose": "206712 e/angstrom^2",
    "width": "0.503 angstrom",
    "width_spread": "0.05 angstrom",
    "height_spread": "0.3",
    "prior": "{strength: 0.4, transition: 0.1, iterations: 40}",
}
"""The noise of the published generator, widths and signals that vary from atom to atom: where these and the angles are
worse than the noise, a prior that keeps edges is best."""
WARM = {"smallest": "11 angstrom", "largest": "12 angstrom", "pixels": "64"} | RAW
"""A particle of some 50 atoms that no network looks at: it is loaded and compiled within a second of the first one."""
AMORPHOUS = {"specimen": "simulate.amorphous"}


@dataclass(frozen=True)
class Cases:
    """Work of more than one sort, by case."""

    work: Mapping[str, Work]

    def check(self, task: Task) -> None:
        """Raise `AetxError` if the particle cannot be done."""
        self.work[task.case.name].check(task)

    def key(self, task: Task) -> str:
        """Return the digest of what the result depends on."""
        return self.work[task.case.name].key(task)

    def measure(self, task: Task) -> Measured:
        """Do one particle."""
        return self.work[task.case.name].measure(task)


def evaluated(size: int, form: str, dtype: str, seed: int) -> Timed:
    """Send a volume through a network of a form, its weights random: they cost what trained ones do."""
    import torch

    from aetx.kernels.inference import evaluate, prepared
    from aetx.kernels.neural_networks import build

    torch.manual_seed(seed)
    network = build(form).eval()
    fast = prepared(network, "cpu", dtype)  # type: ignore[arg-type]
    given = np.random.default_rng(seed).uniform(0, 1, (size, size, size)).astype(np.float32)
    return Timed(lambda: evaluate(fast, given, network.multiple, False))


SPEEDS = {
    "speed-144": (144, "residual", "float32"),
    "speed-256": (256, "residual", "float32"),
    "speed-144-bfloat16": (144, "residual", "bfloat16"),
    "speed-256-bfloat16": (256, "residual", "bfloat16"),
    "speed-144-published": (144, "published", "float32"),
    "speed-256-published": (256, "published", "float32"),
    "speed-256-deep": (256, "deep", "float32"),
}
"""Edge, form and type of each timing."""
TORCH = "the network released with that work, by torch, {}, 2 threads"
TIMES = {
    144: (
        Published(TORCH.format("as published"), cpu_seconds=0.80),
        Published("the same by OpenVINO", cpu_seconds=0.34),
    ),
    256: (
        Published(TORCH.format("channels last"), cpu_seconds=3.1),
        Published("the same in bfloat16, norms folded", cpu_seconds=1.8),
    ),
}
"""What the published network costs, by the edge of the volume."""

traced = Recipe("filter.yaml", WARM)
fitted = Recipe("filter_refined.yaml", WARM)
multislice = Recipe(
    "filter_multislice.yaml",
    small=WARM,
    small_file="filter.yaml",
    drawn=("noise",),
    files=("series", "truth", "dose"),
    inputs=multislice_series,
)

DOSE = "the dose of an experiment, 175 detected electrons for each atom and tilt"
KAIST_NOISE = "the noise of the published generator, widths and signals that vary from atom to atom"

PARTICLES: tuple[tuple[Case, Work], ...] = (
    (
        Case(
            "P-raw",
            f"{DOSE}; the volume as it is, smoothed by 0.3 angstrom",
            RAW,
            (Published(SIRT, 0.91, 22.8, cpu_seconds=4.7), Published(f"{LEE}, before the filter", 6.8, 34.5, 30.7)),
        ),
        traced,
    ),
    (
        Case(
            "P-filter",
            f"{DOSE}; after the filter that is trained on fcc",
            {},
            (
                Published(WEIGHTS, 0.03, 17.5, 16.3, 1.4),
                Published(NETWORK, 0.008, 13.3, cpu_seconds=0.35),
                Published(f"{LEE}, after the filter", 0.4, 19.7, 18.0),
            ),
        ),
        traced,
    ),
    (
        Case(
            "K-raw",
            f"{KAIST_NOISE}; the volume as it is, smoothed by 0.3 angstrom",
            BRIGHT | RAW,
            (Published(f"{SIRT}, least of a range", 0.6, 12.0),),
        ),
        traced,
    ),
    (
        Case(
            "K-filter",
            f"{KAIST_NOISE}; after the filter that is trained on bright images",
            BRIGHT | {"settings": "{model: bright}"},
            (Published(WEIGHTS, 0.0, 11.2),),
        ),
        traced,
    ),
    (
        Case(
            "amorphous-raw",
            "as P-raw, of some 1,200 atoms without order",
            AMORPHOUS | RAW,
            (Published(ONLY_MEASURED),),
        ),
        traced,
    ),
    (
        Case(
            "amorphous-filter",
            "some 1,200 atoms without order at that dose; after the filter that is trained on fcc",
            AMORPHOUS,
            (Published(ONLY_MEASURED),),
        ),
        traced,
    ),
    (
        Case(
            "ms-raw",
            "multislice images with a source blur of 0.60 angstrom; the volume as it is, smoothed by 0.3 angstrom",
            RAW,
            (Published(SIRT, 10.2, 41.0), Published(f"{LEE}, before the filter", 7.6, 37.0)),
        ),
        multislice,
    ),
    (
        Case(
            "ms-filter",
            "multislice images with a source blur of 0.60 angstrom; after the filter that is trained on fcc",
            {},
            (Published(f"{LEE}, after the filter", 0.6, 22.5, 21.3),),
        ),
        multislice,
    ),
    (
        Case(
            "P-raw-fitted",
            "as P-raw, then atoms, angles and shifts fitted to the images",
            RAW,
            (Published(SIRT, 0.91, 22.8),),
        ),
        fitted,
    ),
    (
        Case("P-filter-fitted", "as P-filter, then the same fit", {}, (Published(WEIGHTS, 0.03, 17.5, 16.3),)),
        fitted,
    ),
)
TIMINGS = tuple(
    Case(
        name,
        f"a volume of {size} x {size} x {size} voxels through the {form} network in {dtype}",
        published=TIMES[size],
    )
    for name, (size, form, dtype) in SPEEDS.items()
)

filter = Benchmark(  # noqa: A001 - the name of the benchmark is its file's
    name="filter",
    summary="atoms traced in volumes of Pt particles before and after a learned filter, and what the filter costs",
    cases=(*(case for case, _ in PARTICLES), *TIMINGS),
    work=Cases(
        {case.name: work for case, work in PARTICLES}
        | {case.name: Clock({case.name: partial(evaluated, *SPEEDS[case.name])}) for case in TIMINGS}
    ),
    particles=1,
)
