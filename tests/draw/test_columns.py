"""Columns of atoms are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.testing import assert_allclose

from aetx.draw import draw
from aetx.model import COLUMNS

ONE, LENGTH = {"units": "1"}, {"units": "angstrom"}


def columns(position: np.ndarray, count: list[int], probability: list[float]) -> xr.Dataset:
    return COLUMNS.stamp(
        xr.Dataset(
            {
                "position": (("column", "axis"), position, LENGTH),
                "count": ("column", np.array(count), ONE),
                "probability": ("column", np.array(probability), ONE),
            },
            {"column": ("column", np.arange(len(count)), ONE), "axis": ["x", "y"]},
        )
    )


SQUARE = np.array([[0.0, 0], [2, 0], [0, 2], [2, 2]])


def test_columns_lie_where_they_are_and_are_counted() -> None:
    made = columns(SQUARE, [3, 1, 3, 5], [1.0, 0.5, 1.0, 0.9])
    COLUMNS.check(made)
    (picture,) = draw(made)
    figure: Any = picture.figure
    left, right = figure.axes
    assert_allclose(left.collections[0].get_offsets(), SQUARE)
    assert [bar.get_height() for bar in right.patches] == [1, 2, 1]
    assert "4 columns with 12 atoms" in picture.caption
    assert "least 0.5" in picture.caption
    assert picture.png()[:8] == b"\x89PNG\r\n\x1a\n"


def test_columns_that_are_less_sure_are_paler() -> None:
    (picture,) = draw(columns(SQUARE, [3, 3, 3, 3], [1.0, 0.5, 0.1, np.nan]))
    figure: Any = picture.figure
    colours = figure.axes[0].collections[0].get_facecolors()[:, :3].sum(axis=1)
    assert (np.diff(colours) > 0).all()


def test_one_column_is_drawn_and_none_is_not() -> None:
    assert draw(columns(SQUARE[:1], [2], [0.9]))[0].png()
    assert draw(columns(SQUARE[:0], [], [])) == []
    assert draw(columns(np.full((1, 2), np.nan), [2], [0.9])) == []
