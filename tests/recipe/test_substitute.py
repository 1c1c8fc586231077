"""Variables, --set and their places."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aetx.errors import AetxWarning, Problem

Read = Callable[..., Any]
Mistake = Callable[..., Problem]

SEED = "steps:\n  - {name: a, stage: toy.seed, params: {seed: %s}}\n"
LABEL = """\
inputs: {s: {path: s.mrc, angles: a.tlt}}
vars: %s
steps:
  - {name: v, stage: toy.solve, from: s, params: {label: "%s"}}
"""


@pytest.fixture
def label(read: Read, tmp_path: Path) -> Callable[[str, str], str]:
    (tmp_path / "s.mrc").touch()
    (tmp_path / "a.tlt").touch()
    return lambda variables, text: read(LABEL % (variables, text)).jobs[0].steps[0].params.label


def test_a_whole_scalar_keeps_its_type_and_inside_text_it_is_inserted(
    read: Read, label: Callable[[str, str], str]
) -> None:
    assert read("vars: {n: 3}\n" + SEED % "'${vars.n}'").jobs[0].steps[0].params.seed == 3
    assert label("{n: 3, w: fcc}", "x${vars.n}-${ vars.w }y") == "x3-fccy"
    assert label("{n: 0.10}", "${vars.n}") == "0.10"


def test_two_dollars_are_one(label: Callable[[str, str], str]) -> None:
    with pytest.warns(AetxWarning, match=r"vars\.n is not used"):
        assert label("{n: 3}", "$${vars.n}") == "${vars.n}"


def test_variables_may_name_others_but_not_in_a_circle(read: Read, mistake: Mistake) -> None:
    text = "vars: {a: '${vars.b}', b: '${vars.c}', c: 4}\n" + SEED % "'${vars.a}'"
    assert read(text).jobs[0].steps[0].params.seed == 4
    found = mistake("vars: {a: '${vars.b}', b: '${vars.a}'}\n" + SEED % "'${vars.a}'")
    assert found.found == "a -> b -> a"
    assert found.line == 2


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("${vars.nn}", "did you mean 'vars.n'?"),
        ("${HOME}", "known are 'vars.n'"),
        ("${vars.n", "close the brace"),
        ("${}", "known are 'vars.n'"),
    ],
)
def test_an_undefined_name_lists_the_known_ones(mistake: Mistake, text: str, fix: str) -> None:
    found = mistake("vars: {n: 3}\n" + SEED % f"'{text}'")
    assert found.field == "steps[0].params.seed"
    assert (found.line, found.column) == (4, 47)
    assert fix in found.fix


def test_a_list_or_nothing_cannot_be_inserted_in_text(mistake: Mistake) -> None:
    (found) = mistake("vars: {n: [1, 2]}\n" + SEED % "'x${vars.n}'")
    assert found.wanted == "a text or number"
    text = "vars: {file: }\ninputs: {v: {path: '${vars.file}', kind: volume}}\n"
    found = mistake(text + "steps: [{name: a, stage: toy.peaks, from: v}]\n")
    assert (found.found, found.fix) == ("'${vars.file}', which has no value", "give it: --set file=...")
    found = mistake("vars: {folder: }\n" + SEED % "'${vars.folder}/x'")
    assert found.fix == "give it: --set folder=..."


def test_set_replaces_variables_and_parameters(read: Read, tmp_path: Path) -> None:
    text = "vars: {n: 3}\n" + SEED % "'${vars.n}'"
    for sets, seed in (({"n": "4"}, 4), ({"vars.n": "5"}, 5), ({"steps.a.params.seed": "6", "n": "1"}, 6)):
        if "steps.a.params.seed" in sets:
            with pytest.warns(AetxWarning, match="not used"):
                assert read(text, sets=sets).jobs[0].steps[0].params.seed == seed
        else:
            assert read(text, sets=sets).jobs[0].steps[0].params.seed == seed
    (tmp_path / "x.toy").touch()
    text = "inputs: {v: {path: none.toy}}\nsteps: [{name: a, stage: toy.peaks, from: v}]\n"
    assert read(text, sets={"inputs.v.path": "x.toy"}).jobs[0].inputs[0].paths == (tmp_path / "x.toy",)


def test_set_takes_quantities_lists_and_quoted_text(read: Read, tmp_path: Path) -> None:
    (tmp_path / "s.mrc").touch()
    (tmp_path / "a.tlt").touch()
    text = "inputs: {s: {path: s.mrc, angles: a.tlt}}\nsteps: [{name: v, stage: toy.solve, from: s}]\n"
    sets = {"steps.v.params.width": "2 nm", "steps.v.params.window": "[1 nm, 2 nm]", "steps.v.params.label": '"7"'}
    made = read(text, sets=sets).jobs[0].steps[0].params
    assert (made.width, made.window, made.label) == (20.0, (10.0, 20.0), "7")


def test_set_takes_a_mapping_whose_values_may_refer_to_others(read: Read) -> None:
    text = "vars: {n: 3, all: {seed: '${vars.n}'}}\nsteps:\n  - {name: a, stage: toy.seed, params: '${vars.all}'}\n"
    assert read(text).jobs[0].steps[0].params.seed == 3
    assert read(text, sets={"all": "{seed: '${vars.n}'}", "n": "5"}).jobs[0].steps[0].params.seed == 5


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("m", "known are 'n'"),
        ("vars.nn", "did you mean 'n'?"),
        ("steps.b.params.seed", "known are 'a'"),
        ("steps.a.keep", "name one value"),
        ("inputs.s.path", "none is known"),
    ],
)
def test_set_of_something_unknown_is_a_mistake(mistake: Mistake, name: str, fix: str) -> None:
    found = mistake("vars: {n: 3}\n" + SEED % "'${vars.n}'", sets={name: "1"})
    assert found.file == "command line"
    assert found.field == f"--set {name}"
    assert fix in found.fix


def test_a_wrong_value_on_the_command_line_is_told_as_such(mistake: Mistake) -> None:
    found = mistake(SEED % 1, sets={"steps.a.params.seed": "-1"})
    assert (found.file, found.found, found.line) == ("command line", "-1", 0)
    found = mistake(SEED % 1, sets={"steps.a.params.seed": "[1"})
    assert found.file == "command line"
