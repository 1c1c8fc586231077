"""Atoms traced from images by multislice: electrons that scatter again and again, a source of finite size."""

from __future__ import annotations

from aetx.bench._benchmark import Benchmark, Case, Published
from aetx.bench._multislice import multislice_series
from aetx.bench._recipe import Recipe
from aetx.bench.accuracy_linear import LEE, SMALL

PRISM = f"{LEE}, images by PRISM, source blur not stated"
SIRT = "SIRT, traced, on multislice images of particles like these"
FIT = "atoms, angles and shifts fitted to multislice images of particles like these"

FITTED = {"0.30": (0.0, 10.6, 0.0, 5.0), "0.45": (0.70, 17.7, None, 8.7), "0.60": (10.2, 41.0, 2.1, 22.0)}
"""Wrong atoms and errors after SIRT, and after a fit, by the standard deviation of the blur in angstrom."""

WIDTHS = {"0.30": 0.417, "0.45": 0.556, "0.60": 0.700}
"""Width of the Gaussian whose place is known as well as that of a lone Pt atom by multislice, by the blur, angstrom."""

accuracy_multislice = Benchmark(
    name="accuracy-multislice",
    summary="atoms found in multislice images of Pt particles, 170 detected electrons for each atom and tilt",
    cases=tuple(
        Case(
            f"ms-{blur}",
            f"source blur of {blur} angstrom standard deviation",
            {"blur": f"{blur} angstrom", "width": f"{WIDTHS[blur]} angstrom"},
            (
                Published(f"{PRISM}, after the learned filter", 0.6, 22.5, 21.3),
                Published(f"{PRISM}, before it", 7.6, 37.0),
                Published(SIRT, *FITTED[blur][:2]),
                Published(FIT, *FITTED[blur][2:]),
            ),
            at=float(blur),
        )
        for blur in FITTED
    ),
    work=Recipe(
        "multislice.yaml",
        small=SMALL,
        small_file="linear.yaml",
        drawn=("noise",),
        files=("series", "truth", "dose"),
        inputs=multislice_series,
    ),
    particles=1,
    across="source blur, standard deviation (Å)",
    logarithmic=False,
)
