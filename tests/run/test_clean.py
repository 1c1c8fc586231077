"""Cleaning removes what aetx made and nobody needs, lists it first, and touches nothing else."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aetx.cli import execute
from aetx.errors import BusyError, RecipeError
from aetx.recipe.plan import Job
from aetx.run import run_plan
from aetx.run.clean import Cleaned, clean
from aetx.store import Lock, open_store, verify
from tests.run import tiny


def run(output: Path, *jobs: Job) -> None:
    run_plan(tiny.plan(*jobs), output=output, reporter=None, quiet=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    run(folder / "out", tiny.chain())
    return folder / "out"


@pytest.fixture
def output(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "out")
    return tmp_path / "out"


def tree(folder: Path) -> dict[str, str]:
    """Return everything below a folder with its bytes; times aside."""
    found = {}
    for base, folders, files in os.walk(folder):
        for name in (*folders, *files):
            one = Path(base) / name
            told = str(one.readlink()) if one.is_symlink() else "" if one.is_dir() else one.read_bytes().hex()
            found[str(one.relative_to(folder))] = hashlib.sha256(told.encode()).hexdigest()
    return found


def names(told: Cleaned) -> list[str]:
    return [one.path.relative_to(told.folder).as_posix() for one in told.removed]


def test_nothing_goes_of_a_run_that_is_whole(output: Path) -> None:
    before = tree(output)
    told = clean(output)
    assert (told.removed, told.kept) == ((), ())
    assert told.lines() == [f"nothing to remove in {output}"]
    assert tree(output) == before


def test_steps_and_exports_that_the_last_run_does_not_have_go(output: Path) -> None:
    (output / "exports" / "notes.txt").write_text("mine")
    run(output, tiny.job(*tiny.chain().steps[:4]))
    dry = clean(output, dry=True)
    assert names(dry) == ["results/atoms.zarr", "results/score.zarr", "exports/atoms.tiny.txt"]
    assert (output / "results" / "atoms.zarr").exists()
    assert dry.lines()[-1].endswith("nothing was removed")
    told = clean(output)
    assert names(told) == names(dry)
    assert told.bytes == dry.bytes > 0
    assert sorted(one.name for one in (output / "results").iterdir()) == ["made.zarr", "scaled.zarr", "smooth.zarr"]
    assert [one.name for one in (output / "exports").iterdir()] == ["notes.txt"]
    assert list((output / ".aetx-tmp").iterdir()) == []
    assert clean(output).removed == ()


def test_a_result_that_the_last_run_would_make_again_goes(output: Path) -> None:
    with pytest.raises(Exception, match="lower the threshold"):
        run(output, tiny.chain(fail=True))
    assert names(clean(output, dry=True)) == ["results/atoms.zarr", "results/score.zarr"]


def test_litter_of_a_dead_run_goes_and_nothing_else_in_its_folder(output: Path) -> None:
    scratch = output / ".aetx-tmp"
    (scratch / f"made.zarr-{'0' * 32}" / "density").mkdir(parents=True)
    (scratch / f"made.zarr-{'0' * 32}" / "density" / "0").write_bytes(b"x" * 1000)
    (scratch / "notes.txt").write_text("mine")
    told = clean(output)
    assert (names(told), told.bytes) == ([f".aetx-tmp/made.zarr-{'0' * 32}"], 1000)
    assert [one.name for one in scratch.iterdir()] == ["notes.txt"]


def test_a_page_that_a_dead_run_did_not_end_goes_with_clean_and_with_the_next_run(output: Path) -> None:
    part = output / ".report.html.123.part"
    part.write_text("<ht")
    assert names(clean(output)) == [part.name]
    part.write_text("<ht")
    run(output, tiny.chain())
    assert not part.exists()


def test_all_results_go_when_asked_and_come_again(output: Path) -> None:
    assert len(clean(output, results=True).removed) == 5
    assert list((output / "results").iterdir()) == []
    assert (output / "exports" / "atoms.tiny.txt").is_file()
    assert (output / "aetx-run.json").is_file()
    run(output, tiny.chain())
    assert verify(output / "results" / "smooth.zarr") == []


def test_results_of_other_inputs_stay_until_they_are_named(tmp_path: Path) -> None:
    jobs = [Job(name, {}, (), tiny.chain().steps, ()) for name in ("a", "b")]
    run(tmp_path, *jobs)
    run(tmp_path, jobs[0])
    told = clean(tmp_path)
    assert (told.removed, len(told.kept)) == ((), 5)
    assert "--others removes it" in told.lines()[0]
    assert len(clean(tmp_path, others=True).removed) == 5
    assert len(list((tmp_path / "a" / "results").iterdir())) == 5
    assert (tmp_path / "b" / "exports" / "atoms.tiny.txt").is_file()


def add_file(output: Path) -> None:
    (output / "results" / "atoms.zarr" / "notes.txt").write_text("mine")


def add_link(output: Path) -> None:
    (output / "results" / "atoms.zarr" / "more").symlink_to(output.parent / "precious")


def link_a_chunk(output: Path) -> None:
    file = output / "results" / "atoms.zarr" / "zarr.json"
    file.unlink()
    file.symlink_to(output.parent / "precious" / "0")


def link_the_store(output: Path) -> None:
    shutil.move(output / "results" / "atoms.zarr", output.parent / "precious" / "atoms.zarr")
    (output / "results" / "atoms.zarr").symlink_to(output.parent / "precious" / "atoms.zarr")


def foreign_store(output: Path) -> None:
    (output / "results" / "atoms.zarr" / "aetx-manifest.json").unlink()


@pytest.mark.parametrize("layout", [add_file, add_link, link_a_chunk, link_the_store, foreign_store])
@pytest.mark.parametrize("results", [True, False])
def test_what_aetx_did_not_make_stays(output: Path, layout: Callable[[Path], None], results: bool) -> None:
    (output.parent / "precious").mkdir()
    (output.parent / "precious" / "0").write_bytes(b"precious")
    run(output, tiny.job(*tiny.chain().steps[:4]))
    layout(output)
    store, precious = tree(output / "results" / "atoms.zarr"), tree(output.parent / "precious")
    told = clean(output, results=results)
    assert "results/atoms.zarr" not in names(told)
    assert [one.path.name for one in told.kept] == ["atoms.zarr"]
    assert told.kept[0].kept
    assert tree(output / "results" / "atoms.zarr") == store
    assert tree(output.parent / "precious") == precious


def test_results_behind_a_link_stay(output: Path) -> None:
    (output / "results").rename(output.parent / "elsewhere")
    (output / "results").symlink_to(output.parent / "elsewhere")
    before = tree(output.parent)
    with pytest.raises(RecipeError, match="a symbolic link 'results' in it"):
        clean(output, results=True)
    assert tree(output.parent) == before


def test_an_export_that_was_changed_stays(output: Path) -> None:
    run(output, tiny.job(*tiny.chain().steps[:6]))
    (output / "exports" / "atoms.tiny.txt").write_text("edited")
    told = clean(output)
    assert [one.kept for one in told.kept] == ["changed since aetx wrote it"]
    assert (output / "exports" / "atoms.tiny.txt").read_text() == "edited"


def test_a_folder_of_others_and_a_link_are_refused(tmp_path: Path, output: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a").write_text("a")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(output)
    before = tree(tmp_path)
    for name in ("mine", "empty", "link", "none", "mine/a"):
        with pytest.raises(RecipeError, match=r"aetx removes only what it made|cannot be used"):
            clean(tmp_path / name, results=True)
    with pytest.raises(RecipeError):
        clean(Path("/"), results=True)
    assert tree(tmp_path) == before


def test_nothing_is_touched_while_a_run_writes(output: Path) -> None:
    (output / ".aetx-tmp" / f"made.zarr-{'0' * 32}").mkdir()
    with Lock(output):
        before = tree(output)
        for dry in (True, False):
            with pytest.raises(BusyError, match="started 20"):
                clean(output, dry=dry)
        assert tree(output) == before


def test_a_clean_that_is_killed_leaves_each_store_whole_or_gone(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("aetx.store.disk.remove", die)
    with pytest.raises(KeyboardInterrupt):
        clean(output, results=True)
    monkeypatch.undo()
    left = sorted((output / "results").iterdir())
    assert len(left) == 4
    assert all(verify(one) == [] for one in left)
    open_store(left[0])
    assert len(clean(output).removed) == 1


def test_the_command_lists_sizes_and_is_one_object(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["clean", str(output), "--results", "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["clean"]
    assert told["dry_run"]
    assert told["bytes"] == sum(one["bytes"] for one in told["removed"])
    assert execute(["clean", str(output), "--results"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[-1].endswith(f"freed in {output}")
    assert execute(["clean", str(output.parent)]) == 2
