"""Pictures of refined atoms and of what they leave of the images: which are drawn, and what their captions say."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from aetx.draw import draw
from aetx.draw.refined import turns
from aetx.draw.residual import chosen
from aetx.stages.measure.residual import residual

ONE, LENGTH, DEGREE = {"units": "1"}, {"units": "angstrom"}, {"units": "degree"}


@pytest.fixture
def refined(small_atoms: xr.Dataset) -> xr.Dataset:
    """Atoms with everything that a refinement knows."""
    moved = np.tile([-0.03, 0.0, -0.04], (13, 1))
    moved[12] = np.nan
    theta = np.linspace(-60, 60, 5)
    return small_atoms.assign(
        sigma=(("atom", "axis"), np.tile([0.03, 0.04, 0.12], (13, 1)) * np.linspace(1, 2, 13)[:, None], LENGTH),
        displacement=(("atom", "axis"), moved, LENGTH),
        r1=("tilt", np.array([0.1, 0.2, 0.1, 0.2, 0.15]), ONE),
        r_free=("tilt", np.array([np.nan, 0.25, np.nan, 0.35, np.nan]), ONE),
        shift_x=("tilt", np.full(5, 0.3), LENGTH),
        shift_y=("tilt", np.full(5, -0.4), LENGTH),
        scale=("tilt", np.full(5, 1.02), ONE),
        stated_phi=("tilt", np.zeros(5), DEGREE),
        stated_theta=("tilt", theta - 0.5, DEGREE),
        stated_psi=("tilt", np.zeros(5), DEGREE),
    ).assign_coords(
        tilt=("tilt", np.arange(5), ONE),
        phi=("tilt", np.zeros(5), DEGREE),
        theta=("tilt", theta, DEGREE),
        psi=("tilt", np.zeros(5), DEGREE),
    )


def captions(dataset: xr.Dataset) -> dict[str, str]:
    return {one.name: one.caption for one in draw(dataset)}


def test_refined_atoms_show_error_bars_steps_agreement_and_corrections(refined: xr.Dataset) -> None:
    told = captions(refined)
    assert {"error-bars", "moved", "r-factors", "corrections"} <= set(told)
    assert "median 19.5" in told["error-bars"]
    assert told["moved"] == "Median 5 pm, farthest 5 pm, over 12 atoms; 1 were added and have no start."
    assert "R1 of 5 images at the end: mean 0.15, worst 0.2" in told["r-factors"]
    assert "R free of 2 images while they were held out: mean 0.3, worst 0.35" in told["r-factors"]
    assert told["corrections"] == "Root mean squares: φ 0, θ 0.5, ψ 0, shift x 0.3, shift y 0.4, scale 2."


def test_two_ways_to_write_a_rotation_are_no_correction(refined: xr.Dataset) -> None:
    stated = {"phi": 179.9, "theta": 100.0, "psi": -5.0}
    found = {"phi": 0.0, "theta": 80.5, "psi": 175.2}
    for name in stated:
        refined[f"stated_{name}"] = ("tilt", np.full(5, stated[name]), DEGREE)
        refined = refined.assign_coords({name: ("tilt", np.full(5, found[name]), DEGREE)})
    np.testing.assert_allclose(turns(refined)[:, 0], [0.1, -0.5, 0.2])


def test_only_what_is_there_is_drawn(refined: xr.Dataset, small_atoms: xr.Dataset) -> None:
    usual = set(captions(small_atoms))
    assert not usual & {"error-bars", "moved", "r-factors", "corrections"}
    assert set(captions(small_atoms.assign(sigma=refined["sigma"]))) - usual == {"error-bars", "properties"}
    without = refined.drop_vars(["r_free", "shift_x", "shift_y", "scale", "stated_theta"])
    told = captions(without)
    assert "corrections" not in told
    assert "No image was held out" in told["r-factors"]


def test_pictures_can_be_drawn_of_one_atom_and_of_unknown_errors(refined: xr.Dataset) -> None:
    refined["sigma"].values[4] = np.nan
    assert "Grey: unknown, 1 atoms" in captions(refined)["error-bars"]
    for picture in draw(refined.isel(atom=[0])):
        assert picture.png()[1:4] == b"PNG"


def test_a_residual_shows_the_worst_the_middle_and_the_best_image(
    small_atoms: xr.Dataset, small_series: xr.Dataset
) -> None:
    assert chosen(np.array([0.1, 0.5, np.nan, 0.3])) == {"worst": 1, "middle": 3, "best": 0}
    assert chosen(np.array([0.2])) == {"worst": 0}
    assert chosen(np.array([0.2, 0.1])) == {"worst": 0, "best": 1}
    assert chosen(np.array([np.nan, np.nan])) == {"worst": 0}
    found = residual(small_atoms, small_series, profile="gaussian", width=0.9, gain=1.0, offset=0.5).load()
    pictures = {one.name: one for one in draw(found)}
    assert set(pictures) == {"residual", "agreement"}
    assert "Mean chi square" in pictures["residual"].caption
    titles = [axes.get_title(loc="left") for axes in pictures["residual"].figure.axes]
    worst, best = int(found["r1"].values.argmax()), int(found["r1"].values.argmin())
    assert any(title.startswith(f"worst: image {worst}") for title in titles)
    assert any(title.startswith(f"best: image {best}") for title in titles)
