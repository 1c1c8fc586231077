"""The picture of a classification shows the classes, where they part and what was rejected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from aetx.draw import Picture, draw
from aetx.model import ATOMS

ONE, UNIT = {"units": "1"}, {"units": "angstrom**2"}


def classified(**more: Any) -> xr.Dataset:
    rng = np.random.default_rng(0)
    kind = np.repeat([0, 1], [40, 60])
    sure = np.where(np.arange(100) < 5, 0.8, 1.0)
    probability = np.where(kind[:, None] == [0, 1], sure[:, None], 1 - sure[:, None])
    given = xr.Dataset(
        {
            "position": (("atom", "axis"), rng.uniform(-9, 9, (100, 3)), {"units": "angstrom"}),
            "species": ("atom", np.array([26, 78], np.int32)[kind], ONE),
            "intensity": ("atom", (1 + kind + 0.1 * rng.standard_normal(100)).astype(np.float32), UNIT),
            "probability": (("atom", "element"), probability, ONE),
            "confusion": (("element", "assigned"), np.array([[0.975, 0.025], [0.0, 1.0]]), ONE),
            "threshold": ("boundary", np.array([1.5]), UNIT),
            **more,
        },
        {
            "atom": ("atom", np.arange(100), ONE),
            "axis": ["x", "y", "z"],
            "element": ("element", np.array([26, 78]), ONE),
            "assigned": ("assigned", np.array([26, 78]), ONE),
        },
    )
    return ATOMS.stamp(given)


def rejected() -> xr.Dataset:
    """Atoms without classes, and twelve entries of a ledger that are a tenth as bright."""
    plain = classified().drop_vars(["probability", "confusion"]).drop_dims(["element", "assigned"])
    return plain.assign(
        threshold=("boundary", np.array([0.4]), UNIT),
        exists=("atom", np.ones(100, np.float32), ONE),
        ledger_action=("entry", np.repeat("removed", 12)),
        ledger_round=("entry", np.ones(12, np.int32), ONE),
        ledger_score=("entry", np.linspace(0.05, 0.15, 12), ONE),
        ledger_r_before=("entry", np.full(12, np.nan), ONE),
    )


def picture(dataset: xr.Dataset) -> Picture:
    (found,) = [one for one in draw(dataset) if one.name == "classes"]
    assert found.png()[:4] == b"\x89PNG"
    return found


def legend(found: Picture) -> list[str]:
    figure: Any = found.figure
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def dashes(found: Picture) -> list[float]:
    figure: Any = found.figure
    return [float(line.get_xdata()[0]) for line in figure.axes[0].lines]


def test_classes_of_species_are_drawn_with_where_they_part_and_their_confusion() -> None:
    found = picture(classified())
    assert legend(found) == ["40 Fe", "60 Pt"]
    assert dashes(found) == [1.5]
    figure: Any = found.figure
    assert [text.get_text() for text in figure.axes[1].texts] == ["97.50", "2.50", "0.00", "100.00"]
    assert "5 are of their species with a probability below 90 %" in found.caption
    assert "99.00 % of the atoms" in found.caption


def test_intensities_without_their_level_are_drawn_where_these_decided() -> None:
    flat = classified(flat_intensity=("atom", np.linspace(1, 2, 100, dtype=np.float32), UNIT))
    figure: Any = picture(flat).figure
    assert figure.axes[0].get_xlabel() == "intensity without its level (Å²)"


def test_rejected_sites_are_drawn_beside_the_atoms_whether_kept_or_dropped() -> None:
    found = picture(rejected())
    assert legend(found) == ["100 atoms", "12 rejected"]
    assert dashes(found) == [0.4]
    kept = rejected().drop_dims("entry")
    kept["exists"][:7] = 0.1
    assert legend(picture(kept)) == ["93 atoms", "7 rejected"]


@pytest.mark.parametrize("threshold", [np.array([]), np.array([np.nan])])
def test_without_a_place_where_classes_part_none_is_drawn(threshold: np.ndarray) -> None:
    plain = rejected().drop_vars("threshold").assign(threshold=("boundary", threshold, UNIT))
    assert dashes(picture(plain)) == []


def test_what_was_not_classified_or_has_other_units_since_is_not_drawn() -> None:
    assert "classes" not in [one.name for one in draw(classified().drop_vars("threshold"))]
    other = classified()
    other["intensity"].attrs["units"] = "count"
    assert "classes" not in [one.name for one in draw(other)]
