"""Averages of activity, with errors that atoms have in common."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.sparse import csr_array

from aetx.core.activity import Binding, VolcanoParams, activity

KT = 0.02569


def averaged(common: float | None, energy: tuple[float, float] = (-0.2, -0.2), error: float = 0.005) -> xr.Dataset:
    """Two atoms with equal weights, whose errors have a correlation."""
    matrix = None if common is None else csr_array(np.array([[1.0, common], [common, 1.0]]))
    unknown = np.full(2, np.nan)
    binding = Binding(np.array(energy), np.full(2, error), unknown, np.ones(2), "parametrised model", matrix)
    return activity(xr.Dataset(coords={"atom": np.arange(2)}), binding, VolcanoParams(), {})


@pytest.mark.parametrize(("common", "factor"), [(None, 0.5), (0.0, 0.5), (1.0, 1.0), (-1.0, 0.0), (0.5, 0.75)])
def test_errors_that_atoms_share_do_not_average_out(common: float | None, factor: float) -> None:
    made = averaged(common)
    wanted = np.sqrt(factor) * 0.005 / KT
    assert float(made["activity_mean_error"][0]) == pytest.approx(wanted, abs=1e-12)


def test_errors_on_both_sides_of_the_peak_that_go_together_cancel() -> None:
    made = averaged(1.0, (-0.2, 0.5))
    assert float(made["activity_mean_error"][0]) == pytest.approx((1 - 0.97) / 2 * 0.005 / KT, rel=1e-6)


@pytest.mark.parametrize("common", [None, 0.6])
def test_the_mean_current_has_the_error_and_mean_of_many_draws(common: float | None) -> None:
    error, energy = 0.012, np.array([-0.2, -0.19])
    told = averaged(common, tuple(energy), error)
    matrix = np.array([[1.0, common or 0.0], [common or 0.0, 1.0]])
    noise = np.random.default_rng(0).multivariate_normal(np.zeros(2), matrix, 200_000) * error
    current = np.exp((energy + noise - error**2 / (2 * KT)) / KT).mean(axis=1)
    assert current.mean() == pytest.approx(np.exp(energy / KT).mean(), rel=0.01)
    relative = current.std() / current.mean()
    assert float(told["activity_total_error"][0]) == pytest.approx(relative, rel=0.02)


def test_atoms_without_errors_have_an_average_without() -> None:
    made = averaged(None, error=np.nan)
    assert float(made["activity_mean"][0]) == pytest.approx(-0.2 / KT)
    assert float(made["activity_total"][0]) == pytest.approx(-0.2 / KT)
    assert np.isnan(made["activity_mean_error"][0])
    assert np.isnan(made["activity_total_error"][0])
