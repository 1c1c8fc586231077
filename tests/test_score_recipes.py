"""What the recipes of scores find on the particle that they simulate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from aetx.recipe import load
from tests.test_recipes import ROOT, followed

pytestmark = pytest.mark.filterwarnings("ignore::aetx.errors.AetxWarning")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute in one thread: more would only wait for each other at these sizes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_half_sets_agree_as_far_as_the_atoms_do_and_held_out_images_stop_the_iteration(tmp_path: Path) -> None:
    fewer = {"steps.held_out.params.folds": "3"}
    results = followed(load(ROOT / "recipes" / "half_sets.yaml", sets=fewer, output=str(tmp_path / "out")))
    resolution = results["resolution"]["resolution"].sel(direction="all")
    assert 0.8 < float(resolution[0]) < float(resolution[1]) < 1.4
    assert float(results["resolution"]["elongation"]) == pytest.approx(1.31, abs=0.01)
    held_out = results["held_out"]
    assert int(held_out["best"]) < int(held_out["iteration"][-1])
    assert float(held_out["gap"][-1]) > 2 * float(held_out["gap"][0])
    assert float(results["score"]["tracing_error"]) == 0


def test_the_precision_is_that_of_the_noise_and_below_the_accuracy(tmp_path: Path) -> None:
    """The series of the experiment has errors of its angles that the simulation of the model does not know."""
    results = followed(load(ROOT / "recipes" / "precision.yaml", output=str(tmp_path / "out")))
    precision, accuracy = results["precision"], results["accuracy"]
    assert float(precision["tracing_error"]) == 0
    assert 0.6 < float(precision["rmsd"]) / float(accuracy["rmsd"]) < 1.05
    scatter, bias = precision["rms_scatter"], precision["rms_bias"]
    assert float(scatter.sel(axis="z")) > float(scatter.sel(axis="y"))
    assert float((bias**2).sum()) < float((scatter**2).sum())
