"""The picture of Fourier points that were used and held out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from aetx.draw.by_kind import draw
from aetx.draw.fourier_points import fourier_points
from aetx.stages.reconstruct.genfire import genfire


def test_a_volume_that_knows_its_fourier_points_draws_both_curves(specimen: Callable[[str], xr.Dataset]) -> None:
    made = genfire(specimen("tilt_series"), iterations=4, shells=6)
    (picture,) = [one for one in draw(made) if one.name == "fourier-points"]
    left, right = picture.figure.axes
    np.testing.assert_allclose(np.asarray(left.lines[0].get_ydata(), float), made["r_free"])
    np.testing.assert_allclose(np.asarray(right.lines[1].get_xdata(), float), made["frequency"])
    assert f"{float(made['r_free'][-1]):.4g} held out" in picture.caption


def test_without_held_out_points_the_caption_says_so(specimen: Callable[[str], xr.Dataset]) -> None:
    made = genfire(specimen("tilt_series"), iterations=2, held_out=0.0)
    assert "no points were held out" in fourier_points(made)[0].caption


def test_other_volumes_have_no_such_picture(specimen: Callable[[str], xr.Dataset]) -> None:
    assert fourier_points(specimen("volume")) == []
