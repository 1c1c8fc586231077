"""Every example runs, as a program and as a module."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_says_what_it_does_and_prints_something(path: Path, tmp_path: Path) -> None:
    module = load(path)
    assert module.__doc__
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert not list(tmp_path.iterdir()), "an example leaves nothing behind"


@pytest.mark.filterwarnings("ignore::aetx.errors.AetxWarning")
def test_a_particle_comes_back_from_its_images() -> None:
    true, matched, rms = load(EXAMPLES[0].with_name("particle_to_atoms.py")).main()
    assert matched == true > 80
    assert rms < 10


def test_a_stage_of_ones_own_is_called_like_any_other() -> None:
    whole, outer = load(EXAMPLES[0].with_name("own_stage.py")).main()
    assert 0 < outer < whole


def test_a_series_is_opened_with_what_was_stated() -> None:
    kind, tilts, step = load(EXAMPLES[0].with_name("open_series.py")).main()
    assert kind == "tilt_series"
    assert tilts == [-60, -30, 0, 30, 60]
    assert step == pytest.approx(0.358)


def test_every_specimen_is_made_and_drawn(tmp_path: Path) -> None:
    counts = load(EXAMPLES[0].with_name("specimens.py")).main(tmp_path)
    assert {"simulate.particle", "simulate.amorphous", "simulate.decahedron", "simulate.core_shell"} <= set(counts)
    assert counts["simulate.decahedron"] == 25_790
    assert counts["simulate.dumbbell"] == 3504
    assert all((tmp_path / f"{name}-projections.png").stat().st_size > 10_000 for name in counts)
