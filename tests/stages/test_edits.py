"""Atoms as a person corrected them: what each edit does, what the ledger says, and what binds later steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from aetx.core.edits import decided
from aetx.errors import InputError
from aetx.io import open_input
from aetx.model import ATOMS, EDITS
from aetx.recipe import load
from aetx.run import run_plan
from aetx.stages.refine.edits import edits
from aetx.store import open_store

SIGNED = "reason: seen, author: A. N."


@pytest.fixture
def atoms(small_atoms: xr.Dataset) -> xr.Dataset:
    """Thirteen atoms with an intensity and a flag; ids that are no indices."""
    one = {"units": "1"}
    made = small_atoms.assign_coords(atom=("atom", 10 * np.arange(13), one))
    return made.assign(
        intensity=("atom", np.arange(13.0), {"units": "count"}),
        flag=("atom", np.ones(13, np.int32), one),
    )


def stated(folder: Path, *lines: str) -> xr.Dataset:
    path = folder / "e.yaml"
    path.write_text("edits:\n" + "".join(f"  - {{{line}, {SIGNED}}}\n" for line in lines) or "edits: []\n")
    return open_input([path], kind=EDITS)


def written(place: np.ndarray) -> str:
    return "[" + ", ".join(f"{value:.6f} angstrom" for value in place) + "]"


def place_of(atoms: xr.Dataset, number: int) -> np.ndarray:
    return np.asarray(atoms["position"].sel(atom=number, axis=["x", "y", "z"]).values)


def test_each_action_does_what_it_says(atoms: xr.Dataset, tmp_path: Path) -> None:
    low, high = "[0 angstrom, 9 angstrom, 0 angstrom]", "[0 angstrom, 9 angstrom, 0.25 nm]"
    asked = stated(
        tmp_path,
        f"action: add, position: {low}",
        f"action: remove, position: {written(place_of(atoms, 20) + 0.3)}",
        "action: move, atom: 30, to: [1 angstrom, 2 angstrom, 3 angstrom]",
        "action: relabel, atom: 40, element: Ni",
        "action: merge, atom: [50, 60]",
        f"action: split, atom: 121, to: [{low}, {high}]",
        "action: accept, atom: 70",
        "action: reject, atom: 80",
        f"action: reject, position: {written(np.array([0.0, -20.0, 0.0]))}",
    )
    found = edits(atoms, asked)
    assert list(found["atom"].values) == [0, 10, 30, 40, 50, 70, 90, 100, 110, 120, 121, 122]
    np.testing.assert_allclose(place_of(found, 30), [1, 2, 3])
    assert int(found["species"].sel(atom=40)) == 28
    np.testing.assert_allclose(place_of(found, 50), (place_of(atoms, 50) + place_of(atoms, 60)) / 2)
    np.testing.assert_allclose(place_of(found, 121), [0, 9, 0])
    np.testing.assert_allclose(place_of(found, 122), [0, 9, 2.5])
    assert list(found["species"].sel(atom=[121, 122]).values) == [78, 78]
    assert int(found["flag"].sel(atom=70)) == 0
    assert int(found["flag"].sel(atom=90)) == 1
    np.testing.assert_array_equal(found["intensity"].sel(atom=[30, 50]).values, [3.0, 5.0])
    assert np.isnan(found["intensity"].sel(atom=[121, 122])).all()
    untouched = [0, 10, 90, 100, 110, 120]
    xr.testing.assert_identical(found["position"].sel(atom=untouched), atoms["position"].sel(atom=untouched))


def test_the_ledger_has_an_entry_for_every_change(atoms: xr.Dataset, tmp_path: Path) -> None:
    split = "action: split, atom: 0, to: [[0 nm, 0 nm, 0 nm], [0 nm, 0.2 nm, 0 nm]]"
    asked = stated(tmp_path, "action: remove, atom: 20", split)
    found = edits(atoms, asked)
    assert list(found["ledger_action"].values) == ["removed", "split", "split"]
    assert set(found["ledger_reason"].values) == {"seen"}
    assert set(found["ledger_author"].values) == {"A. N."}
    assert list(found["ledger_atom"].values) == [20, 121, 0]
    np.testing.assert_allclose(found["ledger_position"].values[0], place_of(atoms, 20))
    np.testing.assert_allclose(found["ledger_position"].values[1], [0, 2, 0])


def test_a_ledger_that_is_there_goes_on(atoms: xr.Dataset, tmp_path: Path) -> None:
    first = edits(atoms, stated(tmp_path, "action: remove, atom: 20"))
    first["ledger_score"].values[0] = 7.5
    first["ledger_more"] = ("entry", np.array([3.0]), {"units": "1"})
    second = edits(first.drop_vars("ledger_author"), stated(tmp_path, "action: remove, atom: 30"))
    assert list(second["ledger_atom"].values) == [20, 30]
    assert list(second["ledger_author"].values) == ["", "A. N."]
    np.testing.assert_array_equal(second["ledger_score"].values, [7.5, np.nan])
    np.testing.assert_array_equal(second["ledger_more"].values, [3.0, np.nan])


def test_dropping_an_edit_undoes_it(atoms: xr.Dataset, tmp_path: Path) -> None:
    lines = ["action: remove, atom: 20", "action: add, position: [0 nm, 1 nm, 0 nm]", "action: accept, atom: 30"]
    whole = edits(atoms, stated(tmp_path, *lines))
    xr.testing.assert_identical(edits(atoms, stated(tmp_path, *lines)), whole)
    without = edits(atoms, stated(tmp_path, lines[2]))
    assert list(without["atom"].values) == list(atoms["atom"].values)
    nothing = edits(atoms, stated(tmp_path))
    xr.testing.assert_equal(nothing, atoms)


def test_what_a_person_decided_binds_later_steps(atoms: xr.Dataset, tmp_path: Path) -> None:
    asked = stated(
        tmp_path,
        "action: accept, atom: 20",
        "action: accept, atom: 30",
        "action: reject, atom: 30",
        "action: reject, position: [0 nm, -2 nm, 0 nm]",
        "action: add, position: [0 nm, 1 nm, 0 nm]",
    )
    found = edits(atoms, asked)
    said = decided(found)
    assert list(found["atom"].values[said.kept]) == [20, 121]
    np.testing.assert_allclose(said.barred, np.stack([place_of(atoms, 30), np.array([0.0, -20.0, 0.0])]))
    assert not decided(atoms).kept.any()


def test_every_edit_that_cannot_be_followed_is_told_at_once(atoms: xr.Dataset, tmp_path: Path) -> None:
    atoms["species"].values[0] = 28
    far, between = np.array([0.0, 50.0, 0.0]), (place_of(atoms, 0) + place_of(atoms, 10)) / 2
    asked = stated(
        tmp_path,
        "action: remove, atom: 7",
        f"action: remove, position: {written(far)}",
        f"action: remove, position: {written(between)}",
        f"action: remove, atom: 20, position: {written(place_of(atoms, 20) + np.array([0, 0, 2.5]))}",
        f"action: add, position: {written(far)}",
        "action: merge, atom: [20, 20]",
    )
    with pytest.raises(InputError, match="edits that cannot be followed") as caught:
        edits(atoms, asked, reach=2.0)
    found = caught.value.problems
    assert [one.field for one in found] == [
        "edit on line 2, remove: atom",
        "edit on line 3, remove: position",
        "edit on line 4, remove: position",
        "edit on line 5, remove: position",
        "edit on line 6, add: element",
        "edit on line 7, merge: atom",
    ]
    assert found[1].found.startswith("0 atoms within 2 angstrom")
    assert "the nearest is atom" in found[1].fix
    assert found[2].found.startswith("2 atoms within 2 angstrom")


def test_a_changed_file_of_edits_runs_again_and_an_unchanged_one_does_not(
    small_atoms: xr.Dataset, tmp_path: Path
) -> None:
    rows = "\n".join(f"Pt {x} {y} {z}" for x, y, z in small_atoms["position"].values)
    (tmp_path / "a.xyz").write_text(f"13\n\n{rows}\n")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "aetx: 1\ntitle: edits\ninputs:\n  atoms: {path: a.xyz, kind: atoms}\n  edits: {path: e.yaml}\n"
        "steps:\n  - {name: edited, stage: refine.edits, from: {atoms: atoms, edits: edits}}\n"
    )

    def run(text: str) -> tuple[str, xr.Dataset]:
        (tmp_path / "e.yaml").write_text(text)
        record = run_plan(load(recipe, output=str(tmp_path / "out")), quiet=True, reporter=None)[0]
        (step,) = record.steps
        return step.state, open_store(tmp_path / "out" / str(step.store)).load()

    one = f"edits:\n  - {{action: remove, atom: 3, {SIGNED}}}\n"
    state, first = run(one)
    assert (state, first.sizes["atom"]) == ("computed", 12)
    assert run(one)[0] == "reused"
    state, second = run("edits: []\n")
    assert (state, second.sizes["atom"]) == ("computed", 13)
    ATOMS.check(second)
