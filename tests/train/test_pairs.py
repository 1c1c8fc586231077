from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.ndimage import map_coordinates

from aetx.bench._benchmark import STRIDE
from aetx.bench._recipe import NOISE
from aetx.errors import RecipeError
from aetx.recipe import Plan
from aetx.run import Records, run_plan
from aetx.train import pairs as room
from aetx.train.pairs import FIRST, Factory, check_sources, draws
from aetx.train.settings import Training


def test_pairs_are_kept_and_what_is_missing_is_made_again(
    training: Training, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Factory(training, made).pairs(lambda done, total: None)
    assert len(first) == 3
    files = sorted(made.glob("*.safetensors"))
    before = {file: file.read_bytes() for file in files}
    files[1].unlink()
    files[2].write_bytes(before[files[2]][:1000])  # as a machine that lost its power may leave it
    plans: list[Plan] = []

    def counted(plan: Plan, **how: Any) -> Records:
        plans.append(plan)
        return run_plan(plan, **how)

    monkeypatch.setattr(room, "run_plan", counted)
    again = Factory(training, made).pairs(lambda done, total: None)
    assert len(plans) == 2
    assert {file: file.read_bytes() for file in files} == before
    for one, other in zip(first, again, strict=True):
        assert_array_equal(one.volume, other.volume)
        assert_array_equal(one.atom, other.atom)
    assert not list(made.glob("making*"))


def test_atoms_lie_where_the_volume_is_bright(training: Training, made: Path) -> None:
    for draw in draws(training):
        Factory(training, made).pair(draw)
        pair = Factory(training, made).pair(draw)
        volume = pair.volume.astype(np.float32)
        here = map_coordinates(volume, pair.atom.T, order=1)
        assert np.median(here) > 5 * volume.mean()
        assert 0.3 < np.median(here) < 2  # the scale is the height of an atom
        assert (pair.atom >= 0).all()
        assert (pair.atom <= np.array(volume.shape) - 1).all()


def test_numbers_of_random_streams_are_never_those_of_a_benchmark(training: Training) -> None:
    drawn = {int(one.values[name]) for one in draws(training) for name in ("seed", "noise")}
    assert len(drawn) == 6
    assert min(drawn) >= FIRST > (10**6 + 1) * STRIDE + NOISE


def test_pairs_depend_on_seed_source_and_number_alone(training: Training) -> None:
    def values(one: Training) -> list[Mapping[str, str]]:
        return [draw.values for draw in draws(one)]

    longer = training.sources[0].model_copy(update={"count": 7})
    both = training.model_copy(
        update={"sources": (training.sources[0].model_copy(update={"sets": {"x": "1"}}), longer)}
    )
    assert values(both)[3:6] == values(training)
    assert values(training.model_copy(update={"seed": 4})) != values(training)
    assert [draw.validation for draw in draws(both)[3:]] == [True, False, False, True, False, False, True]


def test_what_varies_stays_between_its_bounds(training: Training) -> None:
    many = training.sources[0].model_copy(update={"count": 200})
    doses = [float(one.values["dose"].split()[0]) for one in draws(training.model_copy(update={"sources": (many,)}))]
    assert 7000 <= min(doses) < 8000
    assert 60000 < max(doses) <= 70000
    assert np.median(doses) == pytest.approx(np.sqrt(7000 * 70000), rel=0.15)  # evenly on a logarithmic scale


def test_a_recipe_that_makes_no_pair_is_told_at_once(training: Training, tmp_path: Path) -> None:
    wrong = training.sources[0].model_copy(update={"volume": "series", "truth": "atoms"})
    with pytest.raises(RecipeError) as caught:
        check_sources(training.model_copy(update={"sources": (training.sources[0], wrong)}), tmp_path)
    assert [one.field for one in caught.value.problems] == ["sources[1].volume", "sources[1].truth"]
    assert caught.value.problems[0].found == "'series', of kind tilt_series"


def test_a_variable_that_the_recipe_does_not_have_is_told(training: Training, tmp_path: Path) -> None:
    wrong = training.sources[0].model_copy(update={"sets": {"dosse": "1 e/angstrom^2"}})
    with pytest.raises(RecipeError, match="dosse"):
        check_sources(training.model_copy(update={"sources": (wrong,)}), tmp_path)
