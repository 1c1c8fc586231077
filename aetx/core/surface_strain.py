"""The strain of the surface that activity depends on: which atoms tell it, at each atom of a facet."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.sparse import csr_array, eye_array

from aetx.core.facets import Facets
from aetx.core.reference_lattice import ReferenceParams, reference_of
from aetx.kernels.local_deformation import bonds
from aetx.kernels.stars import Stars, covariances, stars

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Meaning = Literal["local", "in_plane"]


class SurfaceStars(NamedTuple):
    """An atom of a facet with its neighbours, for each of `atom`; positions, covariances and normals by star or row.

    `of` are the rows of `place` and `covariance` in the lattice, `atom` the rows of the atoms in the middle of stars.
    """

    atom: I64
    of: I64
    place: F64
    covariance: F64
    normal: F64
    stars: Stars


def surface_stars(stage: str, lattice: xr.Dataset, table: Facets, meaning: Meaning, edge: float | None) -> SurfaceStars:
    """Return each atom of a facet with its neighbours on the nearest sites of its grain.

    Parameters
    ----------
    stage
        Who asks.
    lattice
        Of the kind lattice, with facets.
    table
        Its facets.
    meaning
        ``local`` for all neighbours, ``in_plane`` for those on the same facet, within its plane.
    edge
        Of the unstrained cubic cell, angstrom; None for that of each grain.
    """
    reference = reference_of(stage, lattice, ReferenceParams(lattice_constant=edge), cubes=True)
    around = bonds(reference.site, reference.grain)
    home = table.primary[reference.atom]
    chosen = np.flatnonzero(home >= 0)
    number = np.full(len(home), -1)
    number[chosen] = np.arange(chosen.size)
    star, member = number[around.source], around.index.astype(np.int64)
    kept = star >= 0
    star, member = star[kept], member[kept]
    normal = table.normal[home[chosen]]
    if meaning == "in_plane":
        beside = table.on[reference.atom[member], home[chosen][star]]
        star, member = star[beside], member[beside]
    star, member = np.concatenate([star, np.arange(chosen.size)]), np.concatenate([member, chosen])
    made = stars(reference.site, star, member, chosen.size, normal if meaning == "in_plane" else None)
    place = reference.site + reference.displacement
    return SurfaceStars(reference.atom[chosen], reference.atom, place, reference.covariance, normal, made)


def correlation(stage: str, lattice: xr.Dataset, table: Facets, meaning: Meaning) -> csr_array:
    """Return the correlations of the errors of the strains of atoms, shape (atoms, atoms): made of the same positions.

    Those of each atom of a facet with its neighbours and theirs; atoms whose strain is not known correlate with none.

    Parameters
    ----------
    stage, lattice, table, meaning
        As for `surface_stars`.
    """
    found = surface_stars(stage, lattice, table, meaning, None)
    told = np.isfinite(found.covariance).all()
    pairs = covariances(found.stars, found.covariance if told else np.tile(np.eye(3), (len(found.of), 1, 1))).tocoo()
    spread = np.sqrt(pairs.diagonal())
    kept = (pairs.row != pairs.col) & (spread[pairs.row] > 0) & (spread[pairs.col] > 0)
    row, column = pairs.row[kept], pairs.col[kept]
    values = pairs.data[kept] / (spread[row] * spread[column])
    count = lattice.sizes["atom"]
    apart = csr_array((values, (found.atom[row], found.atom[column])), shape=(count, count))
    return csr_array(apart + eye_array(count))
