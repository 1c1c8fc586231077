"""Pictures of scores say what the scores say, and none fails where there is little to draw."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import xarray as xr

from aetx.core.atoms import atoms_dataset
from aetx.draw.by_kind import draw
from aetx.draw.picture import Picture
from aetx.errors import AetxWarning
from aetx.stages.measure.compare import compare
from aetx.stages.measure.fsc import fsc
from aetx.stages.measure.precision import precision
from aetx.stages.measure.r_free import r_free

GRID = np.stack(np.meshgrid(*[np.arange(4.0) * 2.5] * 3, indexing="ij"), -1).reshape(-1, 3)


def atoms(position: np.ndarray, species: Any = 78) -> xr.Dataset:
    return atoms_dataset(position, species).assign_attrs(aetx_schema="atoms/1")


def names(pictures: list[Picture]) -> list[str]:
    assert all(picture.png().startswith(b"\x89PNG") for picture in pictures)
    return [picture.name for picture in pictures]


def off(amount: float, seed: int = 0) -> np.ndarray:
    return GRID + amount * np.random.default_rng(seed).standard_normal(GRID.shape)


def test_a_comparison_shows_errors_wrong_atoms_and_elements() -> None:
    found = np.concatenate([off(0.1)[2:], [[20.0, 0, 0]]])
    pictures = draw(compare(atoms(found, [78] * 30 + [46] * 33), atoms(GRID, [78] * 32 + [46] * 32), align="rigid"))
    assert names(pictures) == ["errors", "wrong-atoms", "elements"]
    assert "62 pairs within 1.5 Å one to one, rigid fitted" in pictures[0].caption
    assert "2 atoms missed (rings) and 1 false (crosses) of 64: 4.69 %" in pictures[1].caption
    assert "100 %" in pictures[2].caption


@pytest.mark.parametrize(
    ("found", "true", "wanted"),
    [
        (GRID, GRID, ["errors", "wrong-atoms"]),
        (GRID[:1], GRID[:1], ["errors", "wrong-atoms"]),
        (GRID[:0], GRID, ["wrong-atoms"]),
        (GRID, GRID[:0], ["wrong-atoms"]),
        (GRID[:0], GRID[:0], []),
    ],
)
def test_a_comparison_of_little_is_drawn_too(found: np.ndarray, true: np.ndarray, wanted: list[str]) -> None:
    assert names(draw(compare(atoms(found), atoms(true)))) == wanted


@pytest.mark.parametrize(("repeats", "what"), [(3, "Scatter"), (1, "Bias")])
def test_repeats_show_what_is_known_of_each_atom(repeats: int, what: str) -> None:
    score = precision(atoms(GRID), tuple(atoms(off(0.1, seed)[seed:]) for seed in range(repeats)))
    pictures = draw(score)
    assert names(pictures) == ["precision", "precision-map"]
    assert pictures[1].caption.startswith(what)
    assert f"over {repeats} repeats" in pictures[0].caption


def test_repeats_that_find_nothing_have_no_picture() -> None:
    assert draw(precision(atoms(GRID), (atoms(GRID[:0]),))) == []


@pytest.mark.parametrize("options", [{}, {"mask": 4.0}])
def test_shells_tell_the_resolution(small_volume: xr.Dataset, options: dict[str, Any]) -> None:
    noisy = small_volume.copy(deep=True)
    noise = np.random.default_rng(0).standard_normal(noisy["density"].shape)
    noisy["density"] += (0.2 * float(noisy["density"].max()) * noise).astype(np.float32)
    pictures = draw(fsc(small_volume, noisy.assign_coords(theta=("tilt", [0.0, 5.0], {"units": "degree"})), **options))
    assert names(pictures) == ["shells"]
    assert "Resolution at 0.143: all directions " in pictures[0].caption
    assert "Crowther" not in pictures[0].caption


def test_held_out_images_name_the_best_number_of_iterations(small_series: xr.Dataset) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AetxWarning)
        pictures = draw(r_free(small_series, iterations=(2, 5), folds=3))
    assert names(pictures) == ["held-out"]
    assert "after 5 iterations" in pictures[0].caption
