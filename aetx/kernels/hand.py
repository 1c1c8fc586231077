"""Other ways in which angles may have been meant, and which of them no image can tell apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from aetx.kernels.projection import rotation

F64 = NDArray[np.float64]

MEANINGS = ("given", "-theta", "-phi", "-phi -theta", "exchanged", "inverse", "transposed")
"""The angles as given; with signs turned; phi and psi exchanged; p = R r; rows and columns of the images exchanged."""
SIGNS = {"given": (1, 1), "-theta": (1, -1), "-phi": (-1, 1), "-phi -theta": (-1, -1)}
BEHIND = np.diag([1.0, 1.0, -1.0])
"""The reflection along the beam, which leaves every projection as it is."""
SWAP = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
"""The half turn about x = y that exchanges rows and columns of an image."""


def meant(meaning: str, phi: F64, theta: F64, psi: F64) -> F64:
    """Return R of each tilt, shape (tilts, 3, 3), if the angles in radian were meant that way."""
    if meaning in SIGNS:
        of_phi, of_theta = SIGNS[meaning]
        return rotation(of_phi * phi, of_theta * theta, psi)
    if meaning == "exchanged":
        return rotation(psi, theta, phi)
    turned = rotation(phi, theta, psi)
    return turned.transpose(0, 2, 1) if meaning == "inverse" else turned @ SWAP


def angles(rotations: F64) -> F64:
    """Return phi, theta, psi of R = Rz(phi) Ry(theta) Rx(psi) in radian, shape (tilts, 3); |theta| up to pi / 2."""
    phi = np.arctan2(rotations[:, 1, 0], rotations[:, 0, 0])
    theta = np.arctan2(-rotations[:, 2, 0], np.hypot(rotations[:, 0, 0], rotations[:, 1, 0]))
    psi = np.arctan2(rotations[:, 2, 1], rotations[:, 2, 2])
    return np.stack([phi, theta, psi], axis=1)


@dataclass(frozen=True)
class Apart:
    """How far two sets of poses are apart, root mean square in radian, if the specimen may be turned as one.

    `turned`: by a rotation only. `mirrored`: by a rotation after a reflection.
    """

    turned: float
    mirrored: float


def apart(one: F64, other: F64) -> Apart:
    """Compare poses whose common rotation means nothing, shape (tilts, 3, 3) both.

    A projection looks the same from behind: R and Q R B, with B the reflection along the beam and Q improper, make
    the same image of a specimen and of its mirror image. Where `mirrored` vanishes no image tells the two apart.
    """
    return Apart(*(_least_angle(one @ behind, other, sign) for behind, sign in ((np.eye(3), 1.0), (BEHIND, -1.0))))


def _least_angle(one: F64, other: F64, sign: float) -> float:
    u, _, vt = np.linalg.svd(np.einsum("tij,tkj->ik", other, one))
    common = u @ np.diag([1.0, 1.0, sign * np.linalg.det(u @ vt)]) @ vt
    off = ((common @ one - other) ** 2).sum(axis=(1, 2))  # 8 sin(angle / 2) ** 2
    return float(np.sqrt((4 * np.arcsin(np.sqrt(np.clip(off / 8, 0, 1))) ** 2).mean()))


def difference(one: F64, other: F64) -> tuple[float, float, float]:
    """Return the mean of one - other, its standard error, and the chance of so large a mean if there is none.

    Parameters
    ----------
    one, other
        What is known of each tilt, shape (tilts,); tilts where either is undefined are left out.
    """
    found = (one - other)[np.isfinite(one - other)]
    if found.size < 2:
        return float(found.mean()) if found.size else float("nan"), float("nan"), float("nan")
    mean, error = float(found.mean()), float(found.std(ddof=1) / np.sqrt(found.size))
    if error == 0.0:
        return mean, error, 1.0 if mean == 0.0 else 0.0
    return mean, error, float(2 * student.sf(abs(mean) / error, found.size - 1))
