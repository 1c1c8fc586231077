"""Pictures of bounds: what they are called, and what is written in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.text import Text

from aetx.draw import draw
from aetx.stages.measure.bound import bound
from aetx.stages.measure.experiment import experiment
from aetx.stages.simulate.particle import particle


@pytest.fixture(scope="module")
def cluster() -> xr.Dataset:
    return particle(smallest=10.0, largest=11.0, seed=1)


def words(figure: Any) -> Iterator[str]:
    figure.draw_without_rendering()
    return (one.get_text() for one in figure.findobj(Text))


def test_the_bound_of_atoms_is_drawn_by_axis_and_by_image(cluster: xr.Dataset) -> None:
    score = bound(cluster, tilts=7)
    (picture,) = draw(score)
    assert picture.name == "bound"
    assert f"{100 * float(score['bound']):.3g} pm" in picture.caption
    said = list(words(picture.figure))
    assert f"z: {100 * float(score['bound_axis'][2]):.3g} pm" in said
    assert {"phi", "theta", "psi", "least standard error (°)"} <= set(said)
    (alone,) = draw(bound(cluster, tilts=7, angles=False, shifts=False))
    assert len(alone.figure.axes) == 1
    (shifts,) = draw(bound(cluster, tilts=7, angles=False))
    assert {"shift x", "least standard error (pm)"} <= set(words(shifts.figure))


def test_plans_are_drawn_against_dose_and_over_the_wedge(cluster: xr.Dataset) -> None:
    score = experiment(cluster, doses=(1e4, 2e4, 4e4), tilts=(5, 9), ranges=(50.0, 70.0))
    dose, wedge = draw(score)
    assert (dose.name, wedge.name) == ("plan-dose", "plan-wedge")
    plan = score.sel(dose=2e4, tilts=9)
    assert f"±50°: {100 * float(plan.sel(range=50.0)['bound']):.3g} pm" in set(words(dose.figure))
    written = set(words(wedge.figure))
    for value in 100 * score.sel(dose=2e4)["bound_axis"].sel(axis="z").values.ravel():
        assert f"{value:.3g}" in written
    assert dose.png() == draw(score)[0].png()


def test_a_plan_without_a_bound_leaves_a_dash(cluster: xr.Dataset) -> None:
    score = experiment(cluster, doses=(1e4,), tilts=(5, 9), ranges=(50.0,)).copy(deep=True)
    score["bound"][0, 0], score["bound_axis"][0, 0] = np.nan, np.nan
    assert "–" in set(words(draw(score)[1].figure))
