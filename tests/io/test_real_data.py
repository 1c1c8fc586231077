"""Published data, where the folder named by AETX_DATA (or ../shared/data) is there."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from aetx.errors import AetxWarning
from aetx.io import check_pixels, describe_files, open_input
from aetx.model import ATOMS, TILT_SERIES, VOLUME

DATA = Path(os.environ.get("AETX_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the published data are not at {DATA}")


def test_an_area_of_the_tantalum_film_is_opened_in_its_place() -> None:
    folder = DATA / "ta_film_saet"
    path = folder / "projections" / "Projections_area22.mat"
    stated = {
        "pixel_size": "0.3216 angstrom",
        "axes": ["x", "y", "tilt"],
        "angles": str(folder / "angles.mat"),
        "units": "count",
        "origin": {"path": str(folder / "alignPara.mat"), "variable": "CropCen", "zero": (201, 176, 171)},
    }
    found = open_input([path], kind=TILT_SERIES, stated=stated, member="22")
    assert found.sizes == {"tilt": 46, "y": 77, "x": 151, "axis": 3}
    written = scipy.io.loadmat(path)["Proj_sub"]
    np.testing.assert_array_equal(found["image"].values, written.transpose(2, 1, 0))
    np.testing.assert_allclose(found["theta"].values[[0, -1]], [-63.0, 55.9], atol=0.05)
    np.testing.assert_allclose(found["origin"].values, (np.array([180, 88, 165]) - [201, 176, 171]) * 0.3216)
    with pytest.warns(AetxWarning, match="negative counts"):
        check_pixels(found, "area 22")
    assert len(describe_files([path], stated)) == 3


def test_the_silicon_particle_is_opened_over_its_full_range() -> None:
    folder = DATA / "paet_asi208"
    path = folder / "aSi_2nmFosCetr_Dose1p6e4_cov35pm_ForBM3D.mat"
    stated = {
        "pixel_size": "0.195 angstrom",
        "axes": ["x", "y", "tilt"],
        "angles": str(folder / "Si_Angle.mat"),
        "units": "count",
        "dose": "1.6e4 e/angstrom**2",
    }
    found = open_input([path], kind=TILT_SERIES, stated=stated)
    assert found.sizes == {"tilt": 60, "y": 128, "x": 128}
    np.testing.assert_array_equal(found["theta"].values, np.arange(0, 180, 3))
    check_pixels(found, "silicon")


def test_the_true_silicon_atoms_are_turned_into_the_frame_of_the_volume() -> None:
    path = DATA / "paet_asi208" / "aSi_208atoms_GT.txt"
    stated = {"columns": ["_", "y", "x", "z"], "units": "angstrom", "zero": "mean", "species": "Si"}
    found = open_input([path], kind=ATOMS, stated=stated)
    raw = np.loadtxt(path, comments="%")[:, [2, 1, 3]]
    np.testing.assert_allclose(found["position"].values, raw - raw.mean(0))
    traced = DATA / "paet_asi208" / "Model_aSi2nm_FoscCenter_Dose1p6e5_cov35pm_BM3D.mat"
    stated = {
        "variable": "temp_model",
        "units": "pixel",
        "pixel_size": "0.065 angstrom",
        "zero": "mean",
        "species": "Si",
    }
    model = open_input([traced], kind=ATOMS, stated=stated)
    gaps = model["position"].values[:, None] - found["position"].values[None]
    assert np.sqrt((np.linalg.norm(gaps, axis=-1).min(1) ** 2).mean()) < 0.05


def test_the_glass_its_volume_and_its_typed_atoms_are_opened() -> None:
    folder = DATA / "metallic_glass"
    stated = {"pixel_size": "0.347 angstrom", "axes": ["x", "y", "tilt"], "units": "count"}
    stated["angles"] = str(folder / "sample" / "sample_angles_amorphous.mat")
    series = open_input([folder / "sample" / "sample_projections_amorphous.mat"], kind=TILT_SERIES, stated=stated)
    stated = {"pixel_size": "0.347 angstrom", "axes": ["x", "y", "z"], "units": "count/pixel"}
    volume = open_input([folder / "sample" / "ground_truth_amorphous_vol.mat"], kind=VOLUME, stated=stated)
    flat = series["image"].values[20]
    assert float(series["theta"][20]) == 0.0
    projected = volume["density"].values.sum(0) * 0.347
    assert np.abs(projected - flat).sum() / np.abs(flat).sum() < 0.01
    final = folder / "6_Final_coordinates"
    types = {"path": str(final / "final_atom_types.mat"), "types": {1: "Ni", 2: "Rh", 3: "Pt"}}
    atoms = open_input([final / "final_atom_coord_inA.mat"], kind=ATOMS, stated={"units": "angstrom", "species": types})
    numbers, counts = np.unique(atoms["species"].values, return_counts=True)
    assert dict(zip(numbers.tolist(), counts.tolist(), strict=True)) == {28: 8322, 45: 6896, 78: 3138}


def test_an_mrc_and_a_matlab_73_volume_are_opened() -> None:
    vesicle = open_input([DATA / "genfire_vesicle" / "vesicle.mrc"], kind=VOLUME)
    assert float(vesicle["density"].mean()) == pytest.approx(0.0085, abs=1e-4)
    path = DATA / "mset_cuau" / "MSET_recon.mat"
    stated = {"variable": "STEM_data/RVol", "pixel_size": "0.4 angstrom", "axes": ["x", "y", "z"], "units": "1"}
    found = open_input([path], kind=VOLUME, stated=stated)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(found["density"].values, file["STEM_data/RVol"][()])
