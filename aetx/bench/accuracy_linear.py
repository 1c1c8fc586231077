"""Atoms found in linear images of Pt particles: random fcc, amorphous, twinned; at several doses, with poses off."""

from __future__ import annotations

from aetx.bench._benchmark import Benchmark, Case, Published
from aetx.bench._recipe import Recipe

LEE = "J. Lee, C. Jeong, Y. Yang, Nature Communications 12, 1962 (2021), 1,000 simulated particles"
WEIGHTS = "the weights released with that work at their best settings, on particles like these"
SIRT = "SIRT, 30 iterations, traced, on particles like these"
FIT = "atoms, angles and shifts fitted to the images, on particles like these"
NETWORKS = "learned filters, each trained for its kind of particle; no number is published for these particles"
SMALL = {"smallest": "11 angstrom", "largest": "12 angstrom", "pixels": "64", "view": "64"}
"""Values that make a particle of some 50 atoms."""
DUMBBELL = '{atoms: 1200, phi: 11 degree, theta: 7 degree, psi: 17 degree, seed: "${vars.seed}"}'
"""The twinned particle, turned out of its zone axes."""
ALLOY = (
    "{atoms: 1200, core_fraction: 0.33, displacement: 0.22 angstrom, "
    'phi: 11 degree, theta: 7 degree, psi: 17 degree, seed: "${vars.seed}"}'
)
"""The particle of two elements, turned alike."""

accuracy_linear = Benchmark(
    name="accuracy-linear",
    summary="atoms found in linear images of Pt particles: wrong ones, and how far the right ones are off",
    cases=(
        Case(
            "P",
            "the dose of an experiment: 175 detected electrons for each atom and tilt",
            published=(
                Published(f"{LEE}, after the learned filter", 0.4, 19.7, 18.0),
                Published(f"{LEE}, before it", 6.8, 34.5, 30.7),
                Published(WEIGHTS, 0.03, 17.5, 16.3),
                Published(SIRT, 0.91, 22.8, cpu_seconds=4.7),
                Published(FIT, 0.0, 8.67, 7.5, 2.5),
            ),
        ),
        Case(
            "K",
            "the noise of the published generator: 27 times more counts, width and signal vary from atom to atom",
            {
                "dose": "206712 e/angstrom^2",
                "width": "0.503 angstrom",
                "width_spread": "0.05 angstrom",
                "height_spread": "0.3",
                "unknown": "each",
            },
            (
                Published(WEIGHTS, 0.0, 11.2),
                Published(f"{SIRT}, least of a range", 0.6, 12.0),
                Published(f"{FIT}, least of a range", 0.0, 2.4),
            ),
        ),
        Case(
            "amorphous",
            "as P, of amorphous Pt: some 1,200 atoms without order, none nearer than 2 angstrom to another",
            {"specimen": "simulate.amorphous"},
            (Published(NETWORKS),),
        ),
        Case(
            "twinned",
            "as P, of a twinned Pt dumbbell of 1,200 atoms with a twist between its halves",
            {"specimen": "simulate.dumbbell", "shape": DUMBBELL},
            (Published(NETWORKS),),
        ),
        Case(
            "alloy",
            "as P, of a Pd core, a third of 1,200 atoms, in a Pt shell: Pd atoms are 0.38 times as bright",
            {
                "specimen": "simulate.core_shell",
                "shape": ALLOY,
                "tracing": "{separation: 1.6 angstrom, threshold: 0.2}",
                "naming": "classify.species",
                "names": "{elements: [Pd, Pt]}",
            },
        ),
        Case(
            "quarter-dose",
            "as P, at a quarter of its dose",
            {"dose": "1914 e/angstrom^2"},
            (Published(f"{LEE}, after the learned filter, at the full dose", 0.4, 19.7, 18.0),),
        ),
        Case(
            "angles",
            "as P, all angles off by up to 3 degrees, images shifted by 1 pixel (standard deviation along x and y); "
            "whole images are reconstructed, for tracing takes what such angles leave around a particle for noise",
            {"tilt_error": "3 degree", "shift": "0.358 angstrom", "view": "176"},
            (Published(f"{LEE}, after the learned filter, with angles off by up to 0.4 degree", 0.4, 19.7, 18.0),),
        ),
    ),
    work=Recipe("linear.yaml", SMALL),
    particles=1,
)
