"""`aetx plan-experiment`: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aetx.cli import execute
from aetx.stages.measure.bound import bound
from aetx.stages.simulate.particle import particle
from aetx.store import write

QUICK = ["--tilts", "7", "--profile", "gaussian"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    particle(smallest=10.0, largest=11.0, seed=1).aetx.to_ase().write("pt.extxyz")
    return tmp_path


def test_the_plan_and_its_neighbours_are_told_as_one_object(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["plan-experiment", "pt.extxyz", *QUICK, "--range", "1.1 radian", "--dose", "1000 e/nm^2", "--json"]
    assert execute([*command, "-o", "out"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)["plan-experiment"]
    rows = {row["name"]: row for row in told["plans"]}
    plan = rows["the plan"]
    alone = bound(
        particle(smallest=10.0, largest=11.0, seed=1),
        tilts=7,
        first=-np.rad2deg(1.1),
        last=np.rad2deg(1.1),
        dose=10.0 / 7,
    )
    assert told["atoms"] == alone.sizes["atom"]
    assert plan["range"] == pytest.approx(63.03, abs=0.01)
    assert plan["bound_pm"] == pytest.approx(100 * float(alone["bound"]), rel=1e-4)
    assert plan["z_pm"] == pytest.approx(100 * float(alone["bound_axis"].sel(axis="z")), rel=1e-4)
    assert rows["twice the dose"]["bound_pm"] == pytest.approx(plan["bound_pm"] / np.sqrt(2), rel=1e-4)
    assert rows["4 images, same dose"]["tilts"] == 4
    assert rows["14 images, twice the dose"]["dose"] == 20.0
    assert rows["10 degree more tilt"]["bound_pm"] < plan["bound_pm"] < rows["10 degree less tilt"]["bound_pm"]
    assert [Path(one["file"]).name for one in told["pictures"]] == ["plan-dose.png", "plan-wedge.png"]
    assert all((folder / one["file"]).read_bytes().startswith(b"\x89PNG") for one in told["pictures"])


def test_a_table_is_printed_and_pictures_stand_beside(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["plan-experiment", "pt.extxyz", *QUICK]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "atoms of Pt" in lines[0]
    assert lines[3].split() == ["e/A^2", "images", "range", "x", "y", "z", "bound", "(pm)", "change"]
    assert lines[4].startswith("the plan ")
    assert lines[5].endswith("+41 %")
    assert any("1.31 times along the beam" in line for line in lines)
    assert sorted(path.name for path in (folder / "pt-plan").iterdir()) == ["plan-dose.png", "plan-wedge.png"]


@pytest.mark.usefixtures("folder")
def test_a_finished_result_and_a_file_without_elements_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    atoms = particle(smallest=10.0, largest=11.0, seed=1)
    write(atoms, Path("atoms.zarr"), key="a", record={})
    np.save("atoms.npy", atoms["position"].values)
    bounds = []
    for specimen in (["atoms.zarr"], ["pt.extxyz"], ["atoms.npy", "--element", "Pt", "--units", "angstrom"]):
        assert execute(["plan-experiment", *specimen, *QUICK, "--json", "-o", "out"]) == 0
        bounds.append(json.loads(capsys.readouterr().out)["plan-experiment"]["plans"][0]["bound_pm"])
    assert bounds == pytest.approx([bounds[0]] * 3, rel=1e-5)
    assert execute(["plan-experiment", "atoms.npy", "--units", "angstrom", "--json"]) == 3
    assert "atoms of unknown element" in capsys.readouterr().out


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("--dose", "5", "--dose"),
        ("--dose", "5 angstrom", "cannot be converted"),
        ("--tilts", "many", "--tilts"),
        ("--range", "95 degree", "--range"),
        ("--width", "0 angstrom", "--width"),
        ("--profile", "square", "--profile"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_by_its_option(
    capsys: pytest.CaptureFixture[str], option: str, text: str, said: str
) -> None:
    assert execute(["plan-experiment", "pt.extxyz", option, text, "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["heading"] == "the experiment cannot be planned"
    assert said in json.dumps(error["problems"])


@pytest.mark.usefixtures("folder")
def test_a_specimen_that_is_not_there_is_an_input_error() -> None:
    assert execute(["plan-experiment", "nothing.extxyz"]) == 3


def test_asking_for_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from aetx.cli import execute; execute(['plan-experiment', '--help']);"
        "print([one for one in ('numpy', 'xarray', 'numba', 'torch') if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--range" in done.stdout
