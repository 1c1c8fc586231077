"""The rotation that is nearest to a matrix."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@njit(nogil=True, cache=True)
def nearest_rotation(matrix: F64) -> F64:
    """Return the proper rotation R nearest to a square matrix M, which makes the sum of R * M greatest.

    With M = sum of end * start^T over vectors, R takes the vectors `start` as near to the vectors `end` as a rotation
    can.

    References
    ----------
    W. Kabsch, Acta Cryst. A 32, 922 (1976), doi:10.1107/S0567739476001873.
    """
    u, _, vt = np.linalg.svd(matrix)
    if np.linalg.det(u) * np.linalg.det(vt) < 0:
        u[:, -1] *= -1
    return u @ vt
