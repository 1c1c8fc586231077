"""Change of scale of stars, an atom with its neighbours, and how the errors of stars that share atoms go together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

FLAT = 1e-3
"""Least second moment of a star along any direction that counts, over the greatest."""


@dataclass(frozen=True)
class Stars:
    """Stars: `star` and `atom` name the star and the atom of each entry, shape (entries,); `arm` is where its site is.

    Arms are from the mean site of the star, shape (entries, 3), within its plane where it has one. `known` tells
    which of the stars reach out in all directions, shape (stars,).
    """

    star: I64
    atom: I64
    arm: F64
    known: NDArray[np.bool_]

    @property
    def slope(self) -> F64:
        """How the scale of a star follows the positions of its atoms, shape (entries, 3), 1/length."""
        return np.asarray(self.arm / self._sum((self.arm**2).sum(axis=1))[self.star, None])

    def _sum(self, values: F64) -> F64:
        return np.bincount(self.star, values, len(self.known)).astype(np.float64)


def stars(site: F64, star: I64, atom: I64, count: int, normal: F64 | None) -> Stars:
    """Return the stars of atoms.

    Parameters
    ----------
    site
        Place of each atom in the reference lattice, shape (atoms, 3).
    star, atom
        Members of each star, the atom in its middle included, shape (entries,).
    count
        Number of stars.
    normal
        Unit normals of the planes to which they are confined, shape (stars, 3); None for stars in space.
    """
    size = np.maximum(np.bincount(star, minlength=count), 1)
    mean = np.stack([np.bincount(star, site[atom, k], count) for k in range(3)], axis=1) / size[:, None]
    arm = site[atom] - mean[star]
    if normal is not None:
        arm -= (arm * normal[star]).sum(axis=1, keepdims=True) * normal[star]
    moments = np.zeros((count, 3, 3))
    np.add.at(moments, star, arm[:, :, None] * arm[:, None, :])
    values = np.linalg.eigvalsh(np.nan_to_num(moments))
    known = values[:, 0 if normal is None else 1] > FLAT * values[:, 2]
    return Stars(star, atom, arm, known & np.isfinite(moments).all(axis=(1, 2)))


def strain_in_plane(found: Stars, position: F64, normal: F64) -> F64:
    """Return by how much stars in planes are larger than in the reference, shape (stars,); NaN where not known.

    With X the arms and x the positions, both within the plane, the similarity that fits best has the scale
    sqrt((sum X.x)**2 + (sum n.(X x x))**2) / sum X.X, whatever its rotation.

    Parameters
    ----------
    found
        Stars with planes.
    position
        Of all atoms, shape (atoms, 3).
    normal
        Unit normals of the planes, shape (stars, 3).
    """
    arm, place = found.arm, position[found.atom]
    turned = np.cross(normal[found.star], arm)
    along, across = (np.bincount(found.star, (one * place).sum(axis=1), len(found.known)) for one in (arm, turned))
    size = np.bincount(found.star, (arm**2).sum(axis=1), len(found.known))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(found.known, np.hypot(along, across) / size - 1, np.nan)


def covariances(found: Stars, covariance: F64) -> csr_array:
    """Return the covariance of the scales of stars, shape (stars, stars): exact to first order for independent atoms.

    Parameters
    ----------
    found
        The stars.
    covariance
        Of each position, shape (atoms, 3, 3).
    """
    root = np.full(covariance.shape, np.nan)
    told = np.isfinite(covariance).all(axis=(1, 2))
    values, vectors = np.linalg.eigh(covariance[told])
    root[told] = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    entry = np.einsum("ni,nij->nj", found.slope, root[found.atom])
    shape = len(found.known), 3 * len(covariance)
    rows, columns = np.repeat(found.star, 3), (3 * found.atom[:, None] + np.arange(3)).ravel()
    used = np.repeat(found.known[found.star], 3)
    gradient = csr_array((entry.ravel()[used], (rows[used], columns[used])), shape=shape)
    return csr_array(gradient @ gradient.T)
