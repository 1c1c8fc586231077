"""Small fcc crystals of known shape, and what is on their facets, made with plain numpy."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import xarray as xr
from scipy.spatial.transform import Rotation

CELL = 3.912
TURN = Rotation.from_rotvec([0.3, -0.5, 0.8]).as_matrix()
NONE, LENGTH = {"units": "1"}, {"units": "angstrom"}


def sites(shape: str, size: int, cut: int = 0) -> np.ndarray:
    """Return lattice coordinates, in halves, of the atoms of a body whose faces are `size` halves away."""
    edge = np.arange(-size, size + 1)
    twice = np.stack(np.meshgrid(edge, edge, edge, indexing="ij"), -1).reshape(-1, 3)
    away = np.abs(twice)
    inside = twice.sum(1) % 2 == 0
    if shape == "cuboctahedron":
        inside &= (away.sum(1) <= 2 * size) & (away.max(1) <= size)
    elif shape == "truncated_octahedron":
        inside &= (away.sum(1) <= size) & (away.max(1) <= cut)
    elif shape == "octahedron":
        inside &= away.sum(1) <= size
    elif shape == "rhombic_dodecahedron":
        inside &= np.sort(away, axis=1)[:, 1:].sum(1) <= size
    else:
        assert shape == "cube"
    return twice[inside] / 2


def faces(site: np.ndarray, families: dict[str, tuple[int, int, int]]) -> dict[str, np.ndarray]:
    """Return which atoms are on the outermost planes of each family, shape (atoms,)."""
    made = {}
    for name, miller in families.items():
        signed = {
            tuple(s * m for s, m in zip(signs, turned, strict=True))
            for turned in permutations(miller)
            for signs in product((1, -1), repeat=3)
        }
        height = site @ np.array(sorted(signed)).T
        made[name] = (height > height.max(axis=0) - 0.1).any(axis=1)
    return made


def lattice(
    site: np.ndarray, noise: float = 0.0, seed: int = 0, strain: float | np.ndarray = 0.0, turn: np.ndarray = TURN
) -> xr.Dataset:
    """Return the lattice of one grain of Pt, with Gaussian errors of its positions that it knows."""
    basis = CELL * turn
    ideal = site @ basis
    moved = ideal @ (strain * np.eye(3) if np.ndim(strain) == 0 else np.asarray(strain)).T
    moved = moved + np.random.default_rng(seed).normal(0, noise, ideal.shape)
    count = len(site)
    sigma = np.full((count, 3), noise if noise else np.nan)
    return xr.Dataset(
        {
            "position": (("atom", "axis"), ideal + moved, LENGTH),
            "species": ("atom", np.full(count, 78, np.int32), NONE),
            "sigma": (("atom", "axis"), sigma, LENGTH),
            "site": (("atom", "vector"), site, NONE),
            "grain": ("atom", np.zeros(count, np.int32), NONE),
            "displacement": (("atom", "axis"), moved, LENGTH),
            "basis": (("grain_id", "vector", "axis"), basis[None], LENGTH),
            "origin": (("grain_id", "axis"), np.zeros((1, 3)), LENGTH),
        },
        coords={"atom": ("atom", np.arange(count), NONE), "axis": ["x", "y", "z"]},
        attrs={"aetx_schema": "lattice/1", "lattice": "fcc"},
    )


def atoms(position: np.ndarray, noise: float = np.nan) -> xr.Dataset:
    """Return atoms of Pt with one standard error."""
    count = len(position)
    return xr.Dataset(
        {
            "position": (("atom", "axis"), np.asarray(position, float), LENGTH),
            "species": ("atom", np.full(count, 78, np.int32), NONE),
            "sigma": (("atom", "axis"), np.full((count, 3), noise), LENGTH),
        },
        coords={"atom": ("atom", np.arange(count), NONE), "axis": ["x", "y", "z"]},
        attrs={"aetx_schema": "atoms/1"},
    )
