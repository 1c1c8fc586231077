"""Two files of atoms are compared without a recipe."""

from pathlib import Path

import numpy as np
import pytest

from aetx.cli import execute
from aetx.errors import InputError, RecipeError
from aetx.run.score import score_files

SHIFT = np.array([0.3, -0.1, 0.2])


def grid() -> np.ndarray:
    axis = np.arange(5) * 2.8
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


def xyz(path: Path, positions: np.ndarray, elements: list[str]) -> Path:
    rows = [f"{e} {x:.6f} {y:.6f} {z:.6f}" for e, (x, y, z) in zip(elements, positions, strict=True)]
    path.write_text("\n".join([str(len(rows)), "atoms", *rows]) + "\n")
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    true = grid()
    off = np.random.default_rng(0).normal(0, 0.1, true.shape)
    elements = ["Pt" if i % 2 else "Fe" for i in range(len(true))]
    found = xyz(tmp_path / "found.xyz", (true + off + SHIFT)[3:], ["Fe", *elements[4:]])
    return found, xyz(tmp_path / "truth.xyz", true, elements)


def test_the_numbers_are_those_of_plain_arithmetic(pair: tuple[Path, Path]) -> None:
    off = np.round(grid() + np.random.default_rng(0).normal(0, 0.1, (125, 3)) + SHIFT, 6)[3:] - grid()[3:]
    told = score_files(*pair, {"radius": "1.38 angstrom"}, {}).as_dict()["score"]
    assert (told["true"]["value"], told["common"]["value"], told["missed"]["value"]) == (125, 122, 3)
    assert told["rmsd"]["value"] == pytest.approx(np.sqrt((off**2).sum(1).mean()), rel=1e-4)
    assert told["right_element"]["value"] == pytest.approx(121 / 122)
    off -= off.mean(0)
    shifted = score_files(*pair, {"radius": "138 pm", "align": "translation"}, {}).as_dict()["score"]
    assert shifted["rmsd"]["value"] == pytest.approx(np.sqrt((off**2).sum(1).mean()), rel=1e-4)
    assert told["missed_region"]["labels"]["region"] == ["surface", "core"]


def test_a_length_without_a_unit_is_in_angstrom(pair: tuple[Path, Path]) -> None:
    for text in ("1.38", "0.138 nm"):
        told = score_files(*pair, {"radius": text}, {}).as_dict()["score"]
        assert told["radius"] == {"value": pytest.approx(1.38), "units": "angstrom"}


def test_the_table_is_short_and_narrow(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["score", str(pair[0]), str(pair[1]), "--align", "rigid"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "pairs within 1.5 angstrom, after a shift and a rotation"
    assert lines[4].split() == ["true", "125", "98", "27"]
    assert lines[5].split()[:2] == ["found", "122"]
    assert len(lines) <= 16
    assert max(map(len, lines[1:])) <= 100


def test_wrong_options_are_told_together(pair: tuple[Path, Path]) -> None:
    with pytest.raises(RecipeError, match=r"--radius: found -3.0, wanted greater than 0(.|\n)*--align: found 'foo'"):
        score_files(*pair, {"radius": "-3", "align": "foo"}, {})
    with pytest.raises(RecipeError, match="number with a unit"):
        score_files(*pair, {"radius": "wide"}, {})


def test_files_without_atoms_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        score_files(tmp_path / "none.xyz", pair[1], {}, {})
    (tmp_path / "empty.xyz").write_bytes(b"")
    with pytest.raises(InputError, match="empty"):
        score_files(tmp_path / "empty.xyz", pair[1], {}, {})


def test_what_a_file_does_not_say_is_stated(pair: tuple[Path, Path], tmp_path: Path) -> None:
    np.save(tmp_path / "found.npy", grid())
    told = score_files(tmp_path / "found.npy", pair[1], {}, {"units": "angstrom"}).as_dict()["score"]
    assert told["rmsd"]["value"] == pytest.approx(0, abs=1e-9)
    assert told["right_element"]["value"] is None
