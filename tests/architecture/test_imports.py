"""What importing costs, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("numpy", "xarray", "dask", "torch", "numba", "zarr", "h5py", "matplotlib", "pint", "scipy", "ase")


def python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_answers_in_half_a_second() -> None:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "aetx", "--help"], cwd=ROOT, capture_output=True, check=True)
        times.append(time.perf_counter() - start)
        assert b"Usage: aetx" in done.stdout
    assert min(times) < 0.5


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], ["nonsense"]])
def test_the_command_line_imports_nothing_heavy_until_a_command_needs_it(arguments: list[str]) -> None:
    program = f"import sys; from aetx.cli import execute; execute({arguments!r}); print('|', *sys.modules)"
    loaded = set(python(program).rpartition("|")[2].split())
    assert "aetx.cli" in loaded
    assert not loaded & set(HEAVY)


def test_checking_a_recipe_imports_no_torch() -> None:
    program = "import sys; import aetx.recipe; print(*sys.modules)"
    assert not set(python(program).split()) & {"torch", "numba", "matplotlib", "h5py", "zarr"}


def test_importing_aetx_changes_nothing_outside_it() -> None:
    program = """
import locale, logging, os, signal, sys, warnings
import numpy, xarray, dask
def state():
    return (dict(os.environ), logging.getLogger().level, list(logging.getLogger().handlers),
            numpy.geterr(), numpy.get_printoptions(), dict(xarray.get_options()), dict(dask.config.config),
            signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), sys.excepthook, warnings.showwarning,
            locale.setlocale(locale.LC_ALL), os.getcwd())
before = state()
import aetx, aetx.cli, aetx.recipe, aetx.run, aetx.store, aetx.io, aetx.core, aetx.model
after = state()
print([i for i, (a, b) in enumerate(zip(before, after)) if a != b])
"""
    assert python(program).strip() == "[]"
