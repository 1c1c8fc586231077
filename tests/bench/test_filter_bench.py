"""The benchmark of the learned filter: what its cases run, and that weights of one's own can take the place of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from aetx.bench._benchmark import ROOM, Task, find
from aetx.bench._clock import Clock
from aetx.bench._recipe import Recipe
from aetx.bench.filter import PARTICLES, SPEEDS, evaluated
from aetx.core.weights import Card, write
from aetx.errors import caught
from aetx.kernels.neural_networks import build
from aetx.recipe import load


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """Write weights that nobody trained, and return the parameters that name them."""
    torch.manual_seed(0)
    card = Card(
        name="none", form="published", options={"width": 2}, pixel_size=(0.3, 0.4), largest_tilt=(60, 70), width=0.45
    )
    write(tmp_path / "none.safetensors", build("published", width=2), card)
    return f"{{weights: {tmp_path / 'none.safetensors'}}}"


def test_the_cases_that_were_promised_are_there() -> None:
    names = {case.name for case in find("filter").cases}
    promised = {"P-raw", "P-filter", "K-raw", "K-filter", "amorphous-filter", "ms-filter", "speed-144", "speed-256"}
    assert promised <= names


def test_raw_cases_are_smoothed_and_the_others_filtered_by_the_weights_that_are_named(
    weights: str, tmp_path: Path
) -> None:
    for case, work in PARTICLES:
        if case.name.startswith("ms-"):
            continue
        own = {} if "raw" in case.name else {"settings": weights}
        work.check(Task(case, 7, tmp_path / case.name, sets=own))
        file = "filter_refined.yaml" if case.name.endswith("fitted") else "filter.yaml"
        with caught():
            job = load(ROOM / "recipes" / file, sets={**case.sets, **own}, output=str(tmp_path)).jobs[0]
        clean = job.step("clean").stage.name
        assert clean == ("augment.gaussian" if "raw" in case.name else "augment.unet")
        fitted = "refine.images" if case.name.endswith("fitted") else "trace.peaks"
        assert job.step("atoms").stage.name == fitted
        assert job.step("score").params.radius == 1.38  # type: ignore[attr-defined]


def test_the_few_atoms_that_warm_a_machine_up_are_told_to_their_recipe_in_its_words(tmp_path: Path) -> None:
    works = [work for _, work in PARTICLES if isinstance(work, Recipe)]
    assert len(works) == len(PARTICLES)
    for file, small in {(one.small_file or one.file, tuple(one.small.items())) for one in works}:
        with caught():
            load(ROOM / "recipes" / file, sets=dict(small), output=str(tmp_path))


def test_timings_send_a_volume_of_the_size_through_the_network() -> None:
    work = find("filter").work
    assert {name for name in SPEEDS if isinstance(work.work[name], Clock)} == set(SPEEDS)  # type: ignore[attr-defined]
    made = evaluated(16, "residual", "float32", 0).act()
    assert made.shape == (16, 16, 16)
