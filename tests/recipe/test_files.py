"""Paths, patterns and the output folder."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aetx.errors import Problem
from aetx.recipe import Plan
from aetx.recipe.files import expand, is_safe, natural

Read = Callable[..., Plan]
Mistake = Callable[..., Problem]
Mistakes = Callable[..., list[Problem]]

PEAKS = "inputs: {v: {path: '%s', kind: volume}}\nsteps: [{name: a, stage: toy.peaks, from: v}]\n"


def names(read: Read, text: str) -> list[str]:
    return [step.name for step in read(text).jobs[0].steps]


def touch(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("a{20-22}.mat", ["a20.mat", "a21.mat", "a22.mat"]),
        ("a{08-10}", ["a08", "a09", "a10"]),
        ("a{2..3}", ["a2", "a3"]),
        ("a{7}", ["a7"]),
        ("{a,b}{1-2}", ["a1", "a2", "b1", "b2"]),
        ("a{1-2,9}", ["a1", "a2", "a9"]),
        ("a", ["a"]),
    ],
)
def test_braces_stand_for_each_choice(pattern: str, wanted: list[str]) -> None:
    assert [path for _, path in expand(pattern)] == wanted


@given(st.lists(st.integers(0, 10**6), min_size=1, unique=True))
def test_numbers_in_names_sort_as_numbers(numbers: list[int]) -> None:
    assert sorted((f"pt_{n}.mrc" for n in numbers), key=natural) == [f"pt_{n}.mrc" for n in sorted(numbers)]


def test_a_pattern_makes_a_list_named_by_what_differs(read: Read, tmp_path: Path) -> None:
    touch(tmp_path, "t_20.mrc", "t_9.mrc", "t_100.mrc")
    assert names(read, PEAKS % "t_*.mrc") == ["a/9", "a/20", "a/100"]
    assert names(read, PEAKS % "t_{20,9}.mrc") == ["a/20", "a/9"]
    assert names(read, PEAKS % "t_{20}.mrc") == ["a/20"]
    touch(tmp_path, "A/1.mrc", "B/1.mrc")
    assert names(read, PEAKS % "{A,B}/*.mrc") == ["a/A-1", "a/B-1"]
    assert names(read, PEAKS.replace("'%s'", "[t_9.mrc, t_20.mrc]")) == ["a/t_9", "a/t_20"]


def test_a_name_with_braces_or_odd_letters_that_exists_is_one_file(read: Read, tmp_path: Path) -> None:
    for name in ("x{1,2}.mrc", "s [1] µ 漢.mrc"):
        touch(tmp_path, name)
        assert names(read, PEAKS % name) == ["a"]
    touch(tmp_path, "s[1]/t_1.mrc", "s[1]/t_2.mrc")
    assert names(read, PEAKS % "s[1]/t_*.mrc") == ["a/1", "a/2"]


def test_labels_that_cannot_be_file_names_give_way_to_stems(read: Read, tmp_path: Path) -> None:
    touch(tmp_path, "t_ä b.mrc", "t_c.mrc")
    assert names(read, PEAKS % "t_*.mrc") == ["a/t_c", "a/t_ä_b"]


def test_files_of_one_name_in_several_folders_are_numbered(read: Read, tmp_path: Path) -> None:
    touch(tmp_path, "A/x.mrc", "B/x.mrc")
    assert names(read, PEAKS.replace("'%s'", "[A/x.mrc, B/x.mrc]")) == ["a/0", "a/1"]


def test_files_that_cannot_be_told_apart_are_refused(mistake: Mistake, tmp_path: Path) -> None:
    touch(tmp_path, "t_a b.mrc", "t_a;b.mrc")
    assert mistake(PEAKS % "t_*.mrc").found == "two files called 't_a_b'"


@pytest.mark.parametrize(
    ("path", "wanted", "fix"),
    [
        ("none.mrc", "a file that exists", "there is no"),
        ("n{1-2}.mrc", "a file that exists", "n1.mrc"),
        ("n*.mrc", "a pattern that matches files", "check the pattern"),
        ("http://169.254.169.254/latest/meta-data", "network inputs are off", "copy the data here"),
        ("simplecache::reference://refs.json", "network inputs are off", "chained URLs"),
        ("simplecache::refs.json", "network inputs are off", "chained URLs"),
        ("file:///etc/passwd", "network inputs are off", "copy"),
        ("", "the path of a file", "write it as text"),
        ("~/x.mrc", "a file that exists", "'~' is not expanded"),
    ],
)
def test_a_path_that_cannot_be_read_is_refused(mistakes: Mistakes, path: str, wanted: str, fix: str) -> None:
    found = mistakes(PEAKS % path)
    assert wanted in found[0].wanted
    assert fix in found[0].fix
    assert all((one.line, one.column) == (2, 20) for one in found)


def test_paths_start_at_the_recipe_and_typed_ones_at_the_current_folder(
    read: Read, mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "here/x.mrc", "y.mrc")
    text = "vars: {folder: '.'}\n" + PEAKS % "${vars.folder}/y.mrc"
    assert read(text).jobs[0].inputs[0].paths[0].resolve() == tmp_path / "y.mrc"
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "r.yaml").symlink_to(tmp_path / "r.yaml")
    from aetx.recipe import load

    made = load(tmp_path / "r.yaml", sets={"folder": ".."}, plugins=frozenset({"aetx-toy"}))
    assert made.jobs[0].inputs[0].paths[0].resolve() == tmp_path / "y.mrc"


def test_a_path_right_from_the_current_folder_only_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Read
) -> None:
    from aetx.errors import RecipeError
    from aetx.recipe import load

    touch(tmp_path, "recipes/none", "x.mrc")
    (tmp_path / "recipes" / "r.yaml").write_text("aetx: 1\n" + PEAKS % "x.mrc")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match="start at the recipe's folder, not at the current one"):
        load(Path("recipes/r.yaml"), plugins=frozenset({"aetx-toy"}))


@pytest.mark.parametrize("label", ["", "..", ".a", "-a", "a/b", "a b", "a;b", "漢" * 70, "x" * 101, "a\n"])
def test_unsafe_labels_are_known(label: str) -> None:
    assert not is_safe(label)


@pytest.mark.parametrize(
    "output", ["../../etc/aetx", "/etc/aetx", "a/../../b", "~root/x", "http://x/y", "a" * 300, ".", ""]
)
def test_an_output_in_the_recipe_cannot_leave_the_run_folder(mistake: Mistake, tmp_path: Path, output: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    found = mistake(f"run: {{output: '{output}'}}\nsteps: [{{name: a, stage: toy.seed}}]\n")
    assert found.field == "run.output"
    assert [path.name for path in sorted(tmp_path.rglob("*")) if path not in before] == ["r.yaml"]


def test_dollars_in_an_output_are_letters(read: Read, mistake: Mistake, tmp_path: Path) -> None:
    text = "run: {output: '%s'}\nsteps: [{name: a, stage: toy.seed}]\n"
    assert read(text % "$(touch CANARY)").settings.output == tmp_path / "$(touch CANARY)"
    assert mistake(text % "${HOME}/x").found == "'${HOME}'"
    assert not (tmp_path / "CANARY").exists()


@pytest.mark.parametrize(
    ("output", "clash"), [("d", "a parent of"), ("d/x.zarr", "the same as"), ("d/x.zarr/y", "inside")]
)
def test_an_output_that_touches_an_input_is_refused(mistake: Mistake, tmp_path: Path, output: str, clash: str) -> None:
    touch(tmp_path, "d/x.zarr/zarr.json")
    found = mistake(PEAKS % "d/x.zarr", output=output)
    assert clash in found.found
    assert found.field == "--output"
    found = mistake(PEAKS % "d/x.zarr" + f"run: {{output: {output}}}\n")
    assert (found.field, found.line) == ("run.output", 4)


def test_an_output_that_holds_a_side_file_is_refused(mistake: Mistake, tmp_path: Path) -> None:
    touch(tmp_path, "s.mrc", "o/a.tlt")
    found = mistake(
        "inputs: {s: {path: s.mrc, angles: {path: o/a.tlt}}}\nsteps: [{name: v, stage: toy.solve, from: s}]\n",
        output="o",
    )
    assert "a parent of" in found.found
