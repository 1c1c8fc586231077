"""The same particles at doses from a tenth to ten times that of an experiment."""

from __future__ import annotations

from aetx.bench._benchmark import Benchmark, Case
from aetx.bench._recipe import Recipe
from aetx.bench.accuracy_linear import SMALL, accuracy_linear

DOSE = 7656.0
"""Electrons per square angstrom of each image at dose 1."""

accuracy_dose = Benchmark(
    name="accuracy-dose",
    summary="atoms found in linear images of the same Pt particles at rising dose",
    cases=tuple(
        Case(
            f"dose-{times:g}",
            f"{times:g} times the dose of an experiment, {times * DOSE:g} e/angstrom^2 in each of 21 images",
            {"dose": f"{times * DOSE:g} e/angstrom^2"},
            accuracy_linear.cases[0].published if times == 1 else (),
            at=times * DOSE,
        )
        for times in (0.1, 0.3, 1, 3, 10)
    ),
    work=Recipe("linear.yaml", SMALL),
    particles=1,
    across="dose of each of 21 images (e Å⁻²)",
)
