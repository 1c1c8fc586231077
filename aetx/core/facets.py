"""Facets as a dataset keeps them: tables on `facet_id`, and which atoms are on which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aetx.errors import InputError, Problem
from aetx.kernels.surface import neighbour_distance, surface

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]

REACH = 1.26
"""Radius of the alpha shape in median distances of nearest neighbours, where atoms do not know their surface."""
NEEDED = ("facet", "on_facet", "facet_normal", "facet_family", "facet_atoms")


@dataclass(frozen=True)
class Facets:
    """Facets of a lattice: `on` tells which atoms they have, shape (atoms, facets), `primary` is that of each atom.

    `normal` has shape (facets, 3), `family` shape (facets,), `contact` tells which touch the support, None if nothing
    is known of that.
    """

    on: Mask
    primary: I64
    normal: F64
    family: NDArray[np.str_]
    contact: Mask | None

    def members(self, facet: int) -> I64:
        """Return the atoms of a facet."""
        return np.flatnonzero(self.on[:, facet])


def facets_of(stage: str, lattice: xr.Dataset) -> Facets:
    """Return the facets of a lattice; refuse one without.

    Parameters
    ----------
    stage
        Who asks.
    lattice
        As surface.facets gives it.
    """
    missing = [name for name in NEEDED if name not in lattice]
    if missing:
        found = f"no {', '.join(missing)}"
        raise InputError(Problem(f"{stage}: lattice", missing[0], found, "facets", "put surface.facets before"))
    contact = lattice["facet_contact"].values > 0 if "facet_contact" in lattice else None
    return Facets(
        on=lattice["on_facet"].transpose("atom", "facet_id").values > 0,
        primary=lattice["facet"].values.astype(np.int64),
        normal=lattice["facet_normal"].transpose("facet_id", "axis").values.astype(np.float64),
        family=lattice["facet_family"].values.astype(str),
        contact=contact,
    )


def surface_of(atoms: xr.Dataset, position: F64) -> Mask:
    """Tell which atoms are on the surface, by `surface`, else by the alpha shape that `surface.atoms` has by default.

    Parameters
    ----------
    atoms
        Of the kind atoms or lattice.
    position
        Shape (atoms, 3), angstrom.
    """
    if "surface" in atoms:
        return np.asarray(atoms["surface"].values > 0)
    return surface(position, REACH * neighbour_distance(position))
