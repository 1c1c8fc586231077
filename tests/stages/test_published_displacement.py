"""The published displacement map of MEA1: lattice.fit and kernel regression in the frame of the map."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from aetx.core.atoms import atoms_dataset
from aetx.kernels.smoothing import spread
from aetx.stages.lattice.fit import fit

PIXEL, WIDTH = 0.347, 1.9
"""Edge of a pixel of the published positions, and the width of the kernel that makes the map, angstrom."""


@pytest.fixture
def said(real_data: Callable[[str], Path]) -> dict[str, np.ndarray]:
    """Its positions are sheared and mirrored against those of the model, by up to 4 % of a cell edge."""
    return dict(loadmat(real_data("mea_hea") / "MEA1/strain_map_MEA1_excl_surf.mat"))


def test_the_map_is_a_kernel_regression_of_order_zero_at_the_atoms(said: dict[str, np.ndarray]) -> None:
    table, shown = said["posDisp"], said["disp3D"]
    axes = [PIXEL * said[name].ravel() for name in ("xv", "yv", "zv")]
    used = table[:, 6] > 0
    corner, step = np.array([one[0] for one in axes]), float(axes[0][1] - axes[0][0])
    columns = np.column_stack([np.ones(int(used.sum())), PIXEL * table[used, 10:13]])
    whole = spread(PIXEL * table[used, :3], columns, corner, step, max(map(len, axes)), WIDTH)
    sums = whole.transpose(0, 3, 2, 1)[(slice(None), *(slice(len(one)) for one in axes))]
    weight = sums[0]
    assert np.corrcoef(weight.ravel(), shown[..., 0].ravel())[0, 1] > 0.9999
    inside = shown[..., 0] > 0.05
    for i in range(3):
        made = sums[1 + i][inside] / weight[inside]
        published = PIXEL * shown[..., 1 + i][inside]
        assert np.corrcoef(made, published)[0, 1] > 0.999
        assert np.std(made - published) < 0.003 < 0.05 < np.std(published)


def test_displacements_from_the_lattice_are_those_published(said: dict[str, np.ndarray]) -> None:
    table = said["posDisp"]
    atoms = atoms_dataset(PIXEL * table[:, :3], 78).assign_attrs(aetx_schema="atoms/1")
    made = fit(atoms, type="fcc", shape="affine")
    on = (made["grain"].values == 0) & (table[:, 6] > 0)
    assert on.mean() > 0.97
    away = made["displacement"].values[on] - PIXEL * table[on, 10:13]
    assert (away.std(axis=0) < 0.021).all()
    for i in range(3):
        assert np.corrcoef(made["displacement"].values[on, i], table[on, 10 + i])[0, 1] > 0.99
