"""The kept multislice series of a decahedron, and the recipe that refines it as local orbitals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aetx.bench import accuracy_lot as module
from aetx.bench._benchmark import Task, find
from aetx.errors import InputError
from aetx.io import open_input
from aetx.model import ATOMS, TILT_SERIES


def test_the_kept_series_is_what_its_command_says(tmp_path: Path) -> None:
    made = module.decahedron(tmp_path, 0)
    series = open_input([Path(made["series"])], kind=TILT_SERIES, stated={})
    atoms = open_input([Path(made["truth"])], kind=ATOMS, stated={})
    assert series.sizes == {"tilt": 72, "y": 134, "x": 134}
    np.testing.assert_allclose(series["theta"], np.arange(-72, 71, 2))
    assert atoms.sizes["atom"] == 2100
    total = series["image"].sum(("y", "x")).values
    assert np.abs(total / total.mean() - 1).max() < 0.3, "all tilts show the whole particle, near zone axes bright"


def test_every_case_is_a_recipe_that_can_be_run(tmp_path: Path) -> None:
    benchmark = find("accuracy-lot")
    assert [case.name for case in benchmark.cases] == ["lot-direct", "lot-rigid", "lot-adaptive"]
    assert [case.published[0].rmsd_pm for case in benchmark.cases] == [4.3, 2.2, 1.7]
    for case in benchmark.cases:
        benchmark.work.check(Task(case, 0, tmp_path / case.name / "1"))


def test_what_is_missing_is_named_with_the_command_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SOURCE", tmp_path / "none.npz")
    with pytest.raises(InputError, match="make_lot_series"):
        module.decahedron(tmp_path, 0)
