"""`measure.experiment`: every plan is what `measure.bound` says of it, and what more would buy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from pydantic import ValidationError

from aetx.core.atoms import atoms_dataset
from aetx.core.tilts import elongation
from aetx.errors import AetxWarning, InputError
from aetx.stages.measure.bound import BoundParams, bound
from aetx.stages.measure.experiment import ExperimentParams, experiment
from aetx.stages.simulate.particle import particle


@pytest.fixture(scope="module")
def cluster() -> xr.Dataset:
    return particle(smallest=12.0, largest=13.0, seed=1)


@pytest.mark.parametrize("noise", [{}, {"background": 2.0, "read_noise": 1.0}], ids=["clean", "background"])
def test_each_plan_has_its_bound(cluster: xr.Dataset, noise: dict[str, Any]) -> None:
    made = experiment(cluster, params=ExperimentParams(doses=(1e4, 1e5), tilts=(7, 11), ranges=(50.0, 70.0), **noise))
    for dose in (1e4, 1e5):
        for tilts in (7, 11):
            plan = made.sel(dose=dose, tilts=tilts, range=70.0)
            options = BoundParams(dose=dose / tilts, tilts=tilts, first=-70.0, last=70.0, **noise)
            alone = bound(cluster, params=options)
            assert float(plan["bound"]) == pytest.approx(float(alone["bound"]), rel=1e-5)
            np.testing.assert_allclose(plan["bound_axis"], alone["bound_axis"], rtol=1e-5)
            assert float(plan["electrons"]) == pytest.approx(float(alone["electrons"].mean()))


def test_more_dose_and_a_wider_range_help_and_a_dose_is_shared(cluster: xr.Dataset) -> None:
    made = experiment(cluster, doses=(1e4, 4e4), tilts=(9, 18), ranges=(45.0, 75.0), angles=False, shifts=False)
    values = made["bound"].values
    np.testing.assert_allclose(values[1], values[0] / 2, rtol=1e-5)
    assert (values[:, :, 1] < values[:, :, 0]).all()
    each = experiment(cluster, doses=(1e4,), dose_of="image", tilts=(9, 18), ranges=(75.0,), angles=False, shifts=False)
    few, many = each["bound"].values[0, :, 0]
    assert many / few == pytest.approx(np.sqrt(0.5), rel=0.05)
    assert values[0, 1, 1] / values[0, 0, 1] == pytest.approx(1.0, rel=0.05)


def test_the_wedge_stretches_as_published() -> None:
    found = elongation(np.array([60.0, 65.0, 70.0, 71.6, 75.0, 90.0]))
    np.testing.assert_allclose(found, [1.55, 1.42, 1.31, 1.28, 1.21, 1.0], atol=6e-3)


def test_random_errors_agree_with_the_exact_bound(cluster: xr.Dataset) -> None:
    plan: dict[str, Any] = {"doses": (1e5,), "tilts": (9,), "ranges": (60.0,)}
    exact = experiment(cluster, params=ExperimentParams(**plan))
    drawn = experiment(cluster, params=ExperimentParams(**plan, method="stochastic", samples=32))
    assert exact.attrs["solved"] == "exact"
    assert drawn["error"].item() < 0.02
    assert (drawn["bound"] / exact["bound"]).item() == pytest.approx(1.0, abs=4 * drawn["error"].item())


def test_a_plan_that_does_not_determine_the_atoms_has_no_bound(cluster: xr.Dataset) -> None:
    with pytest.warns(AetxWarning, match="6 of 12 plans"):
        made = experiment(cluster, tilts=(1, 9), ranges=(60.0,))
    assert np.isnan(made["bound"].sel(tilts=1)).all()
    assert np.isfinite(made["bound"].sel(tilts=9)).all()
    with pytest.raises(InputError, match="no plan of"):
        experiment(atoms_dataset(np.zeros((1, 3)), 78))


def test_plans_rise(cluster: xr.Dataset) -> None:
    wrongs: tuple[dict[str, Any], ...] = (
        {"tilts": (5, 5)},
        {"doses": (0.0, 1.0)},
        {"ranges": (70.0, 60.0)},
        {"ranges": (95.0,)},
    )
    for wrong in wrongs:
        with pytest.raises(ValidationError, match=r"that rise|greater than 0|less than or equal to 90"):
            ExperimentParams(**wrong)
