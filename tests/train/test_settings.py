from __future__ import annotations

from pathlib import Path

import pytest

from aetx.errors import RecipeError
from aetx.train.settings import Training, Variation, load
from tests.train.conftest import TEXT

SHIPPED = sorted((Path(__file__).parents[2] / "aetx" / "weights" / "training").glob("*.yaml"))
TRAININGS = [path for path in SHIPPED if not path.stem.startswith("particles")]
RECIPE = str(Path(__file__).with_name("tiny.yaml"))


def write(folder: Path, text: str) -> Path:
    file = folder / "small.yaml"
    file.write_text(text.replace("RECIPE", RECIPE), encoding="utf-8")
    return file


def test_all_mistakes_are_told_at_once_each_at_its_place(tmp_path: Path) -> None:
    text = TEXT.replace("steps: 6", "stepps: 6").replace("count: 3", "count: some").replace("residual", "resudual")
    with pytest.raises(RecipeError) as caught:
        load(write(tmp_path, text.replace("seeds:", "seed:")))
    told = {one.field: one for one in caught.value.problems}
    assert set(told) == {
        "training.network.form",
        "training.sources[0].count",
        "training.sources[0].seed",
        "training.stepps",
    }
    assert told["training.stepps"].fix == "did you mean 'steps'?"
    assert told["training.network.form"].fix == "did you mean 'residual'?"
    assert told["training.stepps"].line == TEXT.splitlines().index("steps: 6") + 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("crop: 16", "crop: 4", "greater than or equal to 8"),
        ("margin: 2", "margin: 8", "a crop of more than twice the margin"),
        ("name: small", "name: ../small", "a name of letters, digits"),
        ("network: {form: residual, options: {width: 4, inner: 4, outer_blocks: 1, inner_blocks: 1}}\n", "", "a start"),
        ("name: small", "name: small\nwidth: 0.45", "a number with its unit"),
        ("70000 e/angstrom^2", "70000 angstrom", "two numbers with the same unit"),
        ("7000 e/angstrom^2", "90000 e/angstrom^2", "the least before the greatest"),
        ("noise]", "dose]", "in one of sets, vary and seeds only"),
        ("RECIPE", "none.yaml", "a file that exists"),
        ("aetx: 1", "aetx: 2", "1"),
    ],
)
def test_a_mistake_is_told_in_words(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        load(write(tmp_path, TEXT.replace(old, new)))


def test_whole_numbers_are_drawn_where_both_bounds_are_whole() -> None:
    assert Variation(between=("20", "40")).whole
    assert not Variation(between=("20", "40.0")).whole
    assert Variation(between=("-75 degree", "-60 degree")).bounds() == (-75, -60, "degree")


@pytest.mark.parametrize("path", TRAININGS, ids=[path.stem for path in TRAININGS])
def test_shipped_training_files_can_be_read(path: Path) -> None:
    found: Training = load(path).training
    assert found.name == path.stem
