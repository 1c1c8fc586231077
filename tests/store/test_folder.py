"""aetx writes only in folders that are new, empty or its own, and sweeps only what it left."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from aetx.errors import EnvironmentFault, RecipeError
from aetx.model import FILE
from aetx.store import check_export, claim_output, refuse_output, sweep, sweep_parts, write_export
from aetx.store.disk import litter_name


def tree(folder: Path) -> dict[str, bytes]:
    return {str(one): one.read_bytes() if one.is_file() else b"" for one in folder.rglob("*")}


def test_a_new_an_empty_and_an_earlier_output_are_claimed(tmp_path: Path) -> None:
    assert claim_output(tmp_path / "new" / "deep") == tmp_path / "new" / "deep"
    (tmp_path / "empty").mkdir()
    claim_output(tmp_path / "empty")
    (tmp_path / "empty" / "results").mkdir()
    claim_output(tmp_path / "empty")
    assert (tmp_path / "empty" / ".aetx-output").is_file()


@pytest.mark.parametrize(
    "layout", ["files", "link", "file", "through", "root", "home", "cwd", "input", "inside", "holds", "long"]
)
def test_every_other_folder_is_refused_and_left_alone(
    tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "raw.mrc").write_bytes(b"raw")
    (tmp_path / "link").symlink_to(tmp_path / "held")
    (tmp_path / "free").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "free"))
    monkeypatch.chdir(tmp_path / "held")
    raw = tmp_path / "held" / "raw.mrc"
    folder, inputs = {
        "files": (tmp_path / "held", []),
        "link": (tmp_path / "link", []),
        "file": (raw, []),
        "through": (raw / "deep" / "out", []),
        "root": (Path("/"), []),
        "home": (tmp_path / "free", []),
        "cwd": (Path(), []),
        "input": (tmp_path / "new.zarr", [tmp_path / "new.zarr"]),
        "inside": (tmp_path / "held" / "out", [tmp_path / "held"]),
        "holds": (tmp_path / "held", [raw]),
        "long": (tmp_path / ("x" * 300), []),
    }[layout]
    before = tree(tmp_path)
    for refuse in (refuse_output, claim_output):
        with pytest.raises(RecipeError, match="the output cannot be used"):
            refuse(folder, inputs)
    assert tree(tmp_path) == before


def test_where_no_folder_can_be_made_is_an_error_of_the_machine() -> None:
    with pytest.raises(EnvironmentFault, match=r"/proc/aetx: disk: found No such file .*choose another output"):
        claim_output(Path("/proc/aetx"))


def test_a_link_inside_an_output_is_not_followed(tmp_path: Path) -> None:
    claim_output(tmp_path / "out")
    (tmp_path / "other").mkdir()
    for name in ("results", "exports"):
        (tmp_path / "out" / name).symlink_to(tmp_path / "other")
        with pytest.raises(RecipeError, match="remove the link"):
            claim_output(tmp_path / "out")
        (tmp_path / "out" / name).unlink()


def test_a_claim_that_was_killed_does_not_block_the_next(tmp_path: Path) -> None:
    (tmp_path / ".aetx-tmp").mkdir()
    (tmp_path / ".aetx-tmp" / litter_name(".aetx-output")).write_text("{")
    claim_output(tmp_path)


def test_the_sweep_takes_litter_only_and_follows_no_link(tmp_path: Path) -> None:
    scratch, other = tmp_path / ".aetx-tmp", tmp_path / "other"
    scratch.mkdir()
    other.mkdir()
    (other / "precious").write_text("kept")
    (scratch / litter_name("volume.zarr")).mkdir()
    (scratch / litter_name("volume.zarr")).mkdir()
    (scratch / litter_name("link")).symlink_to(other)
    (scratch / "notes.txt").write_text("someone's")
    assert sweep(scratch) == 3
    assert [one.name for one in scratch.iterdir()] == ["notes.txt"]
    assert (other / "precious").read_text() == "kept"
    scratch.rename(tmp_path / "moved")
    scratch.symlink_to(tmp_path / "moved")
    assert sweep(scratch) == 0


def test_pages_that_were_not_ended_go_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    for name in (".report.html.12.part", ".summary.csv.3.part", "figures/.atoms-top.png.7.part"):
        (tmp_path / name).write_text("<ht")
    kept = ["figures", "figures/.notes.7.part", "report.html", ".thesis.part", "a.12.part"]
    for name in kept[1:]:
        (tmp_path / name).write_text("mine")
    sweep_parts(tmp_path)
    assert sorted(str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*")) == sorted(kept)


def content(text: bytes, chunk: int | None = None) -> xr.Dataset:
    made = xr.Dataset({"content": ("byte", np.frombuffer(text, np.uint8), {"units": "1"})}, attrs={"suffix": ".xyz"})
    return FILE.stamp(made if chunk is None else made.chunk(byte=chunk))


def test_an_export_is_written_whole_and_replaced(tmp_path: Path) -> None:
    path, scratch = tmp_path / "exports" / "atoms.xyz", tmp_path / ".aetx-tmp"
    for text, chunk in ((b"one", None), (b"two, longer", 3)):
        write_export(content(text, chunk), path, key="k", record={}, scratch=scratch)
        assert path.read_bytes() == text
        assert check_export(path) == []
    path.write_bytes(b"TWO, longer")
    assert check_export(path, whole=False) == []
    assert [problem.found for problem in check_export(path)] == ["other bytes"]
    assert list(scratch.iterdir()) == []


def test_an_export_that_a_person_changed_is_not_overwritten(tmp_path: Path) -> None:
    path, scratch = tmp_path / "atoms.xyz", tmp_path / ".aetx-tmp"
    path.write_text("by hand")
    with pytest.raises(RecipeError, match="aetx did not write"):
        write_export(content(b"one"), path, key="k", record={}, scratch=scratch, overwrite=True)
    path.unlink()
    write_export(content(b"one"), path, key="k", record={}, scratch=scratch)
    path.write_text("corrected by hand")
    with pytest.raises(RecipeError, match="changed since aetx wrote it"):
        write_export(content(b"two"), path, key="k", record={}, scratch=scratch)
    assert path.read_text() == "corrected by hand"
    write_export(content(b"two"), path, key="k", record={}, scratch=scratch, overwrite=True)
    assert path.read_text() == "two"
