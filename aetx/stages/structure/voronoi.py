"""The Voronoi cell of each atom."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from aetx.core import Forecast, InputSizes, stage
from aetx.core.atoms import finite_positions
from aetx.core.neighbourhoods import DrawParams, FaceParams, cells_of, errors_by_drawing, per_atom
from aetx.kernels.voronoi import cells
from aetx.model import ATOMS

F64 = NDArray[np.float64]

INDEX = (3, 4, 5, 6)
"""Edges of the faces that the index counts."""


class VoronoiParams(FaceParams, DrawParams):
    """Parameters of `voronoi`."""


def _forecast(inputs: InputSizes, params: VoronoiParams) -> Forecast:
    sizes = inputs["atoms"][0]
    atoms = sizes.get("atom", 1)
    drawn = params.draws if "axis2" in sizes else 0
    return Forecast({**sizes, "axis": 3}, memory=atoms * 2500 + 10**6, seconds=0.2 + atoms * 1.5e-5 * (1 + drawn))


@stage("structure.voronoi", takes={"atoms": ATOMS}, gives=ATOMS, params=VoronoiParams, version=1, forecast=_forecast)
def voronoi(atoms: xr.Dataset, params: VoronoiParams) -> xr.Dataset:
    """Volume, area and faces of the Voronoi cell of each atom, and its index <n3 n4 n5 n6>.

    `voronoi_index` counts faces with 3, 4, 5 and 6 edges, `voronoi_faces` all of them, after faces with less than
    `least` of the area of the cell are left out and the cell is closed again by the planes of the others: thermal or
    measured scatter opens such faces at corners where, as in fcc, more than three faces meet. It leaves 12 faces to
    noisy fcc, but these corners stay split, so that faces have more edges. Perfect fcc has <0 12 0 0>, bcc
    <0 6 0 8>, an icosahedron <0 0 12 0>. `voronoi_volume` and `voronoi_area` are those of the whole cell.

    Cells with a corner farther away than `reach` are open, as those of the surface: NaN, and -1 for numbers. A corner
    is the centre of an empty sphere, so that these are the atoms at the surface of the alpha shape of that radius.
    Programs that close such cells with the walls of a box give volumes there that are those of the box.

    `voronoi_volume_error` is the standard deviation over positions drawn from their covariance; NaN for a cell that
    opens in one of the draws.

    References
    ----------
    J. L. Finney, Proc. R. Soc. A 319, 479 (1970), doi:10.1098/rspa.1970.0189; Y. Yang et al., Nature 592, 60 (2021),
    doi:10.1038/s41586-021-03354-0 (small faces). The indices published with the latter agree for three quarters of
    closed cells: their script takes the areas of faces with five edges by a cross product along the wrong axis.
    """
    position = finite_positions("structure.voronoi: atoms", atoms)
    found, reach = cells_of("structure.voronoi", position, params)

    def volume(moved: F64) -> dict[str, F64]:
        there = np.asarray(np.isfinite(moved).all(axis=1))
        made = cells(np.where(there[:, None], moved, position), reach, 0.0)
        unknown = ~there
        np.logical_or.at(unknown, made.neighbours.source, ~there[made.neighbours.index])
        return {"voronoi_volume": np.where(unknown, np.nan, made.volume)}

    closed = np.isfinite(found.volume)
    error = errors_by_drawing(atoms, position, volume, {"voronoi_volume": found.volume}, params)
    attrs = {"reach": reach, "least": params.least}
    index = np.where(closed[:, None], found.faces[:, INDEX], -1).astype(np.int32)
    number = np.where(closed, found.faces.sum(axis=1), -1).astype(np.int32)
    return atoms.assign(
        voronoi_volume=per_atom(found.volume, "angstrom**3", attrs),
        voronoi_volume_error=per_atom(error["voronoi_volume_error"], "angstrom**3", attrs),
        voronoi_area=per_atom(found.area, "angstrom**2", attrs),
        voronoi_faces=per_atom(number, "1", attrs),
        voronoi_index=(("atom", "edges"), index, {**attrs, "units": "1"}),
    ).assign_coords(edges=("edges", np.array(INDEX), {"units": "1"}))
