"""R factors of held-out tilts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from aetx.core import Registry
from aetx.errors import AetxWarning, InputError
from aetx.stages.measure.compare import compare
from aetx.stages.measure.r_factor import r_factor
from aetx.stages.measure.r_free import RFreeParams, r_free
from aetx.stages.prepare.background import background
from aetx.stages.prepare.gaussian import gaussian
from aetx.stages.prepare.select import select
from aetx.stages.reconstruct.resire import resire
from aetx.stages.reconstruct.sirt import sirt
from aetx.stages.trace.peaks import peaks
from tests.benchmarks import accuracy_asi

RESIRE: dict[str, Any] = {"tolerance": 0.0}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute in one thread: more would only wait for each other at these sizes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def noisy(series: xr.Dataset, level: float) -> xr.Dataset:
    image = series["image"].values
    added = level * image.max() * np.random.default_rng(0).standard_normal(image.shape)
    return series.assign(image=(("tilt", "y", "x"), (image + added).astype(np.float32), {"units": "count"}))


@pytest.mark.parametrize("method", ["resire", "sirt"])
@pytest.mark.filterwarnings("ignore::aetx.errors.AetxWarning")
def test_a_fold_is_a_reconstruction_without_its_tilts_judged_by_them(small_series: xr.Dataset, method: str) -> None:
    """The long way round: select, reconstruct, project, compare."""
    score = r_free(small_series, method=method, iterations=(3, 7), folds=4)
    assert score["fold_of"].values.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    stage, options = (resire, RESIRE) if method == "resire" else (sirt, {})
    for fold in (0, 3):
        held, rest = (select(small_series, every=4, offset=fold, drop=drop) for drop in (False, True))
        volume = stage(rest, iterations=7, **options)
        free, work = r_factor(held, volume), r_factor(rest, volume)
        found = score["r_free_tilt"].sel(iteration=7).values[score["fold_of"].values == fold]
        np.testing.assert_allclose(found, free["r1"], rtol=1e-4)
        assert float(score["r_work_fold"][fold, 1]) == pytest.approx(float(work["mean_r1"]), rel=1e-4)
    np.testing.assert_allclose(score["r_free"], score["r_free_tilt"].mean("tilt"))
    np.testing.assert_allclose(score["gap"], score["r_free"] - score["r_work"])


OTHERS = ("wbp", "art", "sart", "cgls", "tv", "mbir", "genfire", "est")


@pytest.mark.parametrize("method", OTHERS)
@pytest.mark.filterwarnings("ignore::aetx.errors.AetxWarning")
def test_every_other_reconstruction_is_judged_alike(small_series: xr.Dataset, method: str) -> None:
    steps: dict[str, Any] = {} if method == "wbp" else {"iterations": (2, 3)}
    score = r_free(small_series, method=method, folds=3, **steps)
    held, rest = (select(small_series, every=3, offset=2, drop=drop) for drop in (False, True))
    last: dict[str, Any] = {} if method == "wbp" else {"iterations": 3}
    volume = Registry().stage(f"reconstruct.{method}")(rest, **last)
    free, work = r_factor(held, volume), r_factor(rest, volume)
    np.testing.assert_allclose(score["r_free_tilt"][2::3, -1], free["r1"], rtol=1e-4)
    assert float(score["r_work_fold"][2, -1]) == pytest.approx(float(work["mean_r1"]), rel=1e-4)
    assert score["iteration"].values.tolist() == ([1] if method == "wbp" else [2, 3])
    assert (score["r_free"] > score["r_work"]).all()


def test_what_a_method_does_not_know_is_refused() -> None:
    given: dict[str, Any]
    for given in (
        {"method": "wbp", "iterations": (2,)},
        {"method": "cgls", "positive": True},
        {"method": "est", "extended": True},
        {"method": "genfire", "extended": True},
    ):
        with pytest.raises(ValueError, match="has no effect on"):
            RFreeParams(**given)


@pytest.mark.filterwarnings("ignore:.*intensity is negative:aetx.errors.AetxWarning")
def test_fitting_noise_lowers_one_and_raises_the_other(small_series: xr.Dataset) -> None:
    score = r_free(noisy(small_series, 0.1), iterations=(2, 4, 8, 16, 60), folds=3)
    assert (np.diff(score["r_work"]) < 0).all()
    assert 2 <= int(score["best"]) <= 16
    assert float(score["r_free"][-1]) > 1.02 * float(score["least_r_free"])
    assert (np.diff(score["gap"]) > 0).all()


def test_the_end_of_the_scan_is_no_minimum(small_series: xr.Dataset) -> None:
    with pytest.warns(AetxWarning, match="still falls after 3 iterations"):
        score = r_free(small_series, iterations=(1, 3), folds=3)
    assert int(score["best"]) == 3


@pytest.mark.filterwarnings("ignore::aetx.errors.AetxWarning")
def test_masked_pixels_are_not_judged(small_series: xr.Dataset) -> None:
    image, mask = small_series["image"].copy(deep=True), np.ones(small_series["image"].shape, np.int8)
    image[1, 8:13], mask[1, 8:13] = np.nan, 0
    masked = small_series.assign(image=image, mask=(("tilt", "y", "x"), mask, {"units": "1"}))
    score = r_free(masked, method="sirt", iterations=(2, 6), folds=3)
    held, rest = (select(masked, every=3, offset=1, drop=drop) for drop in (False, True))
    wanted = r_factor(held, sirt(rest, iterations=6))["r1"]
    np.testing.assert_allclose(score["r_free_tilt"].sel(iteration=6)[1::3], wanted, rtol=1e-4)


def test_more_folds_than_images_and_steps_that_fall_are_refused(small_series: xr.Dataset) -> None:
    with pytest.raises(InputError, match="at most 9"):
        r_free(small_series, folds=10)
    with pytest.raises(ValueError, match="must rise"):
        RFreeParams(iterations=(5, 3))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::aetx.errors.AetxWarning")
def test_held_out_images_stop_where_the_atoms_are_best(real_data: Callable[[str], Path]) -> None:
    """Published counts of 208 silicon atoms at 1.6e4 e/angstrom**2: the truth is known, and R free does not know it."""
    real_data("paet_asi208")
    steps = (5, 10, 20, 40, 80)
    series = gaussian(background(accuracy_asi.counts("1p6e4"), margin=2.5), width=0.3).compute()
    score, rmsd = r_free(series, iterations=steps, folds=4), []
    for number in steps:
        found = peaks(resire(series, iterations=number, tolerance=0.0))
        rmsd.append(float(compare(found, accuracy_asi.truth(), align="translation", radius=0.9)["rmsd"]))
    assert int(score["best"]) == steps[int(np.argmin(rmsd))] == 20
    assert min(rmsd) < 0.11
