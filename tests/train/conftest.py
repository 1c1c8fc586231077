"""Pairs made with plain numpy, and a training file over a recipe of some forty atoms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aetx.train.pairs import Draw, Pair
from aetx.train.settings import Loaded, Training, load

STEP = 0.358

TEXT = """\
aetx: 1
title: A few steps over a few atoms
name: small
network: {form: residual, options: {width: 4, inner: 4, outer_blocks: 1, inner_blocks: 1}}
vary: {iterations: {among: [5, 6]}}
sources:
  - recipe: RECIPE
    count: 3
    seeds: [seed, noise]
    vary: {dose: {between: [7000 e/angstrom^2, 70000 e/angstrom^2], logarithmic: true}}
validation: {share: 0.34, evaluations: 2, traced: 1}
crop: 16
margin: 2
steps: 6
rate: 0.01
seed: 3
"""


def gaussians(atom: np.ndarray, width: float, shape: tuple[int, int, int]) -> np.ndarray:
    """Return Gaussians of height one by plain numpy; places and width in voxels, z, y, x."""
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return sum(np.exp(-((grid - one) ** 2).sum(-1) / (2 * width**2)) for one in atom)


@pytest.fixture(scope="session")
def pairs() -> list[Pair]:
    """Return volumes of 24 voxels with atoms that are wider, noisy and drawn out along z."""
    made = []
    for number in range(4):
        generator = np.random.default_rng(number)
        atom = generator.uniform(4, 20, (9, 3))
        grid = np.stack(np.meshgrid(*[np.arange(24)] * 3, indexing="ij"), axis=-1)
        volume = sum(np.exp(-(((grid - one) / (2.6, 1.5, 1.5)) ** 2).sum(-1) / 2) for one in atom)
        noisy = np.maximum(volume + generator.normal(0, 0.05, volume.shape), 0).astype(np.float16)
        made.append(Pair(noisy, atom.astype(np.float32), STEP, 1.0, Draw(0, number, {}, number == 0)))
    return made


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Return the training file of some forty atoms."""
    file = tmp_path_factory.mktemp("training") / "small.yaml"
    file.write_text(TEXT.replace("RECIPE", str(Path(__file__).with_name("tiny.yaml"))), encoding="utf-8")
    return load(file)


@pytest.fixture(scope="session")
def training(loaded: Loaded) -> Training:
    """Return what that file says."""
    return loaded.training


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for the pairs of that file, which all tests share."""
    return tmp_path_factory.mktemp("pairs")
