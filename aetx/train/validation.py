"""How good a network is: its error, and the atoms that are traced in what it gives."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from aetx.errors import AetxWarning
from aetx.kernels import alignment
from aetx.kernels.inference import evaluate
from aetx.kernels.neural_networks import Published, Residual
from aetx.kernels.unit_peaks import unit_peaks
from aetx.model import positions
from aetx.stages.trace.peaks import PeaksParams, peaks
from aetx.train.pairs import F32, Pair
from aetx.train.settings import Training


@dataclass(frozen=True)
class Score:
    """Pooled over pairs: atoms, missed and false ones, and distances of the found ones in angstrom.

    `rmse` is the root mean square difference of output and target over all voxels.
    """

    rmse: float
    atoms: int
    missed: int
    false: int
    rmsd: float

    @property
    def wrong_percent(self) -> float:
        """Missed and false atoms in per cent of the true ones."""
        return 100 * (self.missed + self.false) / max(self.atoms, 1)

    @property
    def rmsd_pm(self) -> float:
        """Root mean square distance of found atoms, picometre."""
        return 100 * self.rmsd

    def words(self) -> str:
        """Return it as a person reads it."""
        return f"RMSE {self.rmse:.4f}, {self.wrong_percent:.3f} % of {self.atoms} atoms wrong, {self.rmsd_pm:.1f} pm"


def score(network: Published | Residual, pairs: Sequence[Pair], training: Training) -> Score:
    """Return how good a network is on pairs, in float32."""
    network.eval()
    square, voxels, atoms, missed, false = 0.0, 0, 0, 0, 0
    residuals = []
    for pair in pairs:
        volume = pair.volume.astype(np.float32)
        made = evaluate(network, volume, network.multiple, mirrors=False)
        target = unit_peaks(pair.atom.astype(np.float64), training.width / pair.step, *volume.shape)
        square += float(((made - target).astype(np.float64) ** 2).sum())
        voxels += made.size
        found, true = traced(made, pair.step, training), pair.atom[:, ::-1].astype(np.float64) * pair.step
        match = alignment.settled(found, true, training.validation.radius, "rigid", alignment.at_rest())
        atoms += len(true)
        missed += len(true) - len(match.true)
        false += len(found) - len(match.found)
        residuals.append((match.residual(found, true) ** 2).sum(1))
    network.train()
    pooled = np.concatenate(residuals)
    rmsd = float(np.sqrt(pooled.mean())) if pooled.size else float("nan")
    return Score(float(np.sqrt(square / max(voxels, 1))), atoms, missed, false, rmsd)


def traced(volume: F32, step: float, training: Training) -> np.ndarray:
    """Return the atoms of a volume, shape (atoms, 3), columns x, y, z, angstrom from the voxel of index 0."""
    given = xr.Dataset(
        {"density": (("z", "y", "x"), volume, {"units": "1/angstrom"})},
        {
            axis: (axis, np.arange(size) * step, {"units": "angstrom"})
            for axis, size in zip("zyx", volume.shape, strict=True)
        },
        {"aetx_schema": "volume"},
    )
    how = PeaksParams(separation=training.validation.separation, threshold=training.validation.threshold)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AetxWarning)  # a young network shows no atom
        found = peaks(given, params=how)
    return positions(found)
