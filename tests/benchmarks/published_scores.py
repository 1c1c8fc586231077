"""Score published models and volumes as their authors did, and print what is found beside what is published.

Run as ``python -m tests.benchmarks.published_scores``. The data are looked for in the folder named by ``AETX_DATA``,
else beside the checkout. Nothing is reconstructed or traced here: the arrays are those that the authors ship.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import scipy.io
import xarray as xr
from numpy.typing import NDArray

from aetx.core.atoms import atoms_dataset
from aetx.core.tilts import centred_axis, pose_coords
from aetx.kernels.pair_distribution import histogram
from aetx.stages.measure.compare import compare
from aetx.stages.measure.r_factor import r_factor

DATA = Path(os.environ.get("AETX_DATA", Path(__file__).parents[3] / "shared" / "data"))

F64 = NDArray[np.float64]

ABSENT = {
    "metallic glass, multislice, retraced: 20.8 pm of 17,922, 17.3 pm of 18,015": "the retraced models",
    "aSi, 208 atoms, dose 8e3: 28.8 pm, 199 atoms": "the counts and the model at that dose",
    "aSi, 19,993 atoms: 38.7, 25.2, 12.5 pm": "all of them",
    "amorphous carbon film: 11.1 pm of 7,451 (x 4.8, y 4.5, z 8.9)": "the true and the traced model",
    "Pt particles of seed 000: 34.5 to 19.7 pm; dumbbell of seed 001: 16.3 to 9.9 pm": "models and retraced models",
    "local orbitals of seed 003: 4.3, 2.2, 1.7 pm": "the decahedron as they built it, and its images",
}
"""What is published and cannot be scored again, and the arrays that are not shipped."""


@dataclass(frozen=True)
class Row:
    """One number, found and published, and how far apart they may be for the last digit that is printed."""

    name: str
    found: float
    published: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether the two are the same to the last digit that is published."""
        return abs(self.found - self.published) <= self.tolerance


def array(path: Path, name: str | None = None) -> F64:
    """Return a variable of a MATLAB file, the first where no name is given."""
    found = {key: value for key, value in scipy.io.loadmat(path).items() if not key.startswith("_")}
    return np.asarray(found[name] if name else next(iter(found.values())), np.float64)


def pair_totals(root: Path) -> Iterator[Row]:
    """Ordered pairs below 20 angstrom, all and of each pair of types.

    A distance of 20 angstrom may round to either side, so that pairs of types may differ by one.
    """
    folder = root / "metallic_glass"
    position = array(folder / "6_Final_coordinates" / "final_atom_coord_inA.mat").T
    kind = array(folder / "6_Final_coordinates" / "final_atom_types.mat").ravel().astype(np.int64) - 1
    sro = folder / "7_Data_analysis_sro"
    order = array(sro / "scaled_boo_amorphous_region.mat").ravel()
    for name, step, kept in (("all_atoms", 0.1, order > -1), ("amorphous_region", 0.05, order < 0.5)):
        counts = histogram(position[kept], kind[kept], 3, np.ones(kept.sum()), step, round(20 / step)).count
        total = array(sro / f"rdf_{name}.mat", "rdf_arr").sum() - kept.sum()
        yield Row(f"metallic glass, {name}: ordered pairs below 20 A", float(counts.sum()), float(total), 0)
        partial = array(sro / f"rdf_{name}.mat", "pdf_arr").sum(axis=0) - np.diag(np.bincount(kind[kept]))
        worst = np.abs(counts.sum(axis=0) - partial).max()
        yield Row(f"metallic glass, {name}: largest difference of a pair of types", float(worst), 0.0, 1)


def refinements(root: Path) -> Iterator[Row]:
    """Published atoms before and after their refinement, by the published many-to-one score."""
    glass, film = root / "metallic_glass", root / "ta_film_saet" / "atoms_rows1-3.mat"
    before = array(glass / "5_Position_refinement" / "Local_classification_coord_OriOri.mat")
    after = array(glass / "6_Final_coordinates" / "final_atom_coord_inA.mat")
    for name, first, last, wanted in (
        ("metallic glass", before, after, 24.0),
        ("Ta film", array(film, "prerefine_A"), array(film, "final_A"), 25.0),
    ):
        score = compare(atoms(first.T), atoms(last.T), resamples=100)
        moved = 100 * float(np.sqrt(((last - first) ** 2).sum(0).mean()))
        yield Row(f"{name}: refinement moved the atoms, pm", moved, wanted, 0.5)
        common = float(score["many_to_one_common"])
        yield Row(f"{name}: the same atoms found one to one and many to one", float(score["common"]), common, 0)


def silicon(root: Path) -> Iterator[Row]:
    """The published models of 208 silicon atoms against the truth, within 0.9 angstrom."""
    folder = root / "paet_asi208"
    truth = np.loadtxt(folder / "aSi_208atoms_GT.txt", comments="%")[:, [2, 1, 3]]
    for dose, wanted in (("1p6e5", 4.2), ("1p6e4", 17.3)):
        model = array(folder / f"Model_aSi2nm_FoscCenter_Dose{dose}_cov35pm_BM3D.mat", "temp_model").T
        position = (model / 3 - 2) * 0.195
        score = compare(atoms(position - position.mean(0)), atoms(truth - truth.mean(0)), radius=0.9)
        yield Row(f"aSi 208, dose {dose}: RMSD, pm", 100 * float(score["many_to_one_rmsd"]), wanted, 0.05)
        yield Row(f"aSi 208, dose {dose}: atoms found, many to one", float(score["many_to_one_common"]), 208, 0)
        yield Row(f"aSi 208, dose {dose}: atoms found, one to one", float(score["common"]), 208, 0)


def volumes(root: Path) -> Iterator[Row]:
    """Correlations of published volumes with the truth."""
    sample = root / "metallic_glass" / "sample"
    made = np.load(sample / "sample_amorphous_res_decoded.npz")["reconstruction"]
    truth = array(sample / "ground_truth_amorphous_vol.mat", "Vol")
    yield Row("RESIRE sample: correlation with the true volume", correlation(made, truth), 0.973, 5e-4)
    folder = root / "mset_cuau"
    found = [load(next(folder.glob(pattern)), name) for pattern, name in MSET]
    yield Row("MSET demo: correlation with the true potential", correlation(*found), 0.631, 5e-4)


def images(root: Path) -> Iterator[Row]:
    """R1 of the published atoms of the Ta film against the measured images of one sub-area, with Kirkland profiles.

    The number is not the authors': it was measured once by another program with the same width.
    """
    folder = root / "ta_film_saet"
    measured = array(folder / "projections" / "Projections_area22.mat").transpose(2, 1, 0).astype(np.float32)
    angles, centre = array(folder / "angles.mat"), array(folder / "alignPara.mat", "CropCen")[21]
    height, width = measured.shape[1:]
    place = (centre - np.array([201, 176, 171])) * 0.3216
    series = xr.Dataset(
        {
            "image": (("tilt", "y", "x"), measured, {"units": "count"}),
            "origin": ("axis", place, {"units": "angstrom"}),
        },
        {
            **pose_coords(angles),
            "y": centred_axis("y", height, 0.3216),
            "x": centred_axis("x", width, 0.3216),
            "axis": ["x", "y", "z"],
        },
    )
    film = atoms_dataset(array(folder / "atoms_rows1-3.mat", "final_A").T, 73)
    score = r_factor(series, atoms=film, width=float(np.sqrt(5 / 2) / np.pi))
    yield Row("Ta film, area 22: R1 of the refined atoms", float(score["mean_r1"]), 0.23, 0.005)


MSET = (("MSET_recon.mat", "STEM_data/rec"), ("*STEM_data_info.mat", "pot3D"))


def load(path: Path, name: str) -> F64:
    """Return the variable of a MATLAB 7.3 file whose path ends as given."""
    with h5py.File(path) as file:
        places: list[str] = []
        file.visit(places.append)
        return np.asarray(file[next(place for place in places if place.endswith(name))], np.float64)


def correlation(first: F64, second: F64) -> float:
    """Return Pearson's correlation of two arrays."""
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def atoms(position: F64) -> xr.Dataset:
    """Return positions, shape (atoms, 3), as atoms of no element."""
    return atoms_dataset(position, 0)


PARTS: tuple[Callable[[Path], Iterator[Row]], ...] = (pair_totals, refinements, silicon, volumes, images)


def main() -> int:
    """Print one line for each number; say how many differ."""
    wrong = 0
    for part in PARTS:
        for row in part(DATA):
            wrong += not row.agrees
            print(f"{'ok  ' if row.agrees else 'DIFF'} {row.name}: {row.found:.10g}, published {row.published:.10g}")
    for name, missing in ABSENT.items():
        print(f"--   {name}: not in the data: {missing}")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
