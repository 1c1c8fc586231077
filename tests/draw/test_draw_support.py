"""Pictures of the support of atoms and of what a filter did: which are drawn, and what their captions say."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from aetx.draw import draw
from aetx.draw.support import RED
from aetx.model import ATOMS, SCORE
from aetx.stages.measure.agreement import agreement
from aetx.stages.measure.filter import filter as measured_filter

ONE, LENGTH = {"units": "1"}, {"units": "angstrom"}


@pytest.fixture
def judged(small_atoms: xr.Dataset) -> xr.Dataset:
    """Atoms of which one is not supported, and one is shown by too few images."""
    share, height = np.ones(13), np.linspace(0.9, 1.1, 13)
    share[3], height[3] = 0.01, 0.02
    share[7] = height[7] = np.nan
    return small_atoms.assign(
        support=("atom", share, ONE),
        unsupported=("atom", share < 0.5, ONE),
        height=("atom", height, ONE),
        height_tilt=("atom", height + 0.01, ONE),
        vacancy_height=("empty", np.array([0.0, 0.02, -0.02]), ONE),
    )


def captions(dataset: xr.Dataset) -> dict[str, str]:
    return {one.name: one.caption for one in draw(dataset)}


def test_atoms_without_support_are_counted_and_red(judged: xr.Dataset) -> None:
    pictures = {one.name: one for one in draw(judged)}
    told = pictures["unsupported"].caption
    assert told.startswith("The images do not support 1 of 13 atoms (7.7 %)")
    assert "Too few images show 1 more" in told
    colours = [tuple(one) for one in pictures["unsupported"].figure.axes[0].collections[0].get_facecolor()]
    red = tuple(int(RED[i : i + 2], 16) / 255 for i in (1, 3, 5))
    assert sum(np.allclose(one[:3], red) for one in colours) == 1
    assert np.allclose(colours[-1][:3], red), "in front of all others"
    assert "of an atom, and 0.00 ± 0.02" in pictures["support"].caption


def test_atoms_that_nobody_judged_have_no_such_picture(small_atoms: xr.Dataset) -> None:
    assert not {"unsupported", "support", "agreement"} & set(captions(small_atoms))


def test_models_say_how_far_they_agree(small_atoms: xr.Dataset) -> None:
    other = small_atoms.isel(atom=slice(2, None))
    told = captions(ATOMS.stamp(agreement(small_atoms, (other,))))["agreement"]
    assert told.startswith("Red: 2 of 13 atoms that the other model has not")
    assert "model 1 lacks 2, has 0 more, 0 pm apart" in told


def test_a_filter_shows_agreement_images_and_the_wedge(small_series: xr.Dataset, small_volume: xr.Dataset) -> None:
    score = SCORE.stamp(measured_filter(small_series, small_volume, small_volume))
    told = captions(score)
    assert list(told) == ["agreement", "residual", "wedge"]
    mean = float(score["mean_r1"][0])
    assert f"as they are {mean:.3g} before, {mean:.3g} after" in told["agreement"]
    assert "what the filter knows about atoms" in told["wedge"]
