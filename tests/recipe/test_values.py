"""Parameters: units by text, types as they stand, bounds in words."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aetx.errors import Problem
from aetx.recipe import Plan

Read = Callable[..., Plan]
Mistake = Callable[..., Problem]

SERIES = "inputs: {s: {path: s.mrc, angles: a.tlt}}\nsteps:\n  - {name: v, stage: toy.solve, from: s, params: {%s}}\n"


@pytest.fixture
def params(read: Read, tmp_path: Path) -> Callable[..., Any]:
    (tmp_path / "s.mrc").touch()
    (tmp_path / "a.tlt").touch()
    return lambda text, **options: read(SERIES % text, **options).jobs[0].steps[0].params


@pytest.fixture
def wrong(mistake: Mistake, tmp_path: Path) -> Mistake:
    (tmp_path / "s.mrc").touch()
    (tmp_path / "a.tlt").touch()
    return lambda text: mistake(SERIES % text)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("width: 0.34 nm", "width", 3.4),
        ("width: 5e-1 Å", "width", 0.5),
        ("cut: 340 pm", "cut", 3.4),
        ("cut: null", "cut", None),
        ("window: [0.1 nm, 0.2 nm]", "window", (1.0, 2.0)),
        ("angles: [0.5 rad, 10 degree, 30 deg]", "angles", (math.degrees(0.5), 10.0, 30.0)),
        ("reach: auto", "reach", "auto"),
        ("reach: 2 nm", "reach", 20.0),
        ("iterations: 7", "iterations", 7),
        ("step: 3", "step", 3.0),
        ("positive: false", "positive", False),
        ("label: 010", "label", "010"),
        ("label: NO", "label", "NO"),
        ("label: 1:30", "label", "1:30"),
        ("label: 2.50", "label", "2.50"),
        ("label: true", "label", "true"),
    ],
)
def test_values_become_parameters(params: Callable[..., Any], text: str, name: str, value: object) -> None:
    assert getattr(params(text), name) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "field", "found", "wanted", "fix"),
    [
        ("width: 3", "width", "3", "a number with its unit", "write e.g. '3 angstrom'"),
        ("width: '3'", "width", "'3'", "a unit of angstrom", "write e.g. '3 angstrom'"),
        ("cut: 0.5", "cut", "0.5", "a number with its unit", "write e.g. '0.5 angstrom'"),
        ("window: [1 angstrom, 2]", "window[1]", "2", "a number with its unit", "'2 angstrom'"),
        ("angles: [3 nm]", "angles[0]", "'3 nm'", "a unit of degree", "cannot be converted"),
        ("angles: 3 degree", "angles", "'3 degree'", "a list", "a list of angles"),
        ("reach: 2", "reach", "2", "a number with its unit", "'2 angstrom'"),
        ("reach: 2 mrad", "reach", "'2 mrad'", "a unit of angstrom", "cannot be converted"),
        ("reach: never", "reach", "'never'", "a number or 'auto'", "reach, or 'auto'"),
        ("width: -3 angstrom", "width", "'-3 angstrom'", "greater than 0 angstrom", "the default is 2 angstrom"),
        ("width: 3 furlongs long", "width", "'3 furlongs long'", "a unit of angstrom", "not a unit"),
        ("width: 3 A", "width", "'3 A'", "a unit of angstrom", "'A' means ampere"),
        ("width: null", "width", "null", "a number with a unit of angstrom", "write e.g."),
        ("width: [1 nm]", "width", "['1 nm']", "a number", "width of the filter"),
        ("iterations: 1e3", "iterations", "1e3", "a whole number", "the default is 100"),
        ("iterations: '7'", "iterations", "'7'", "a whole number", "the default is 100"),
        ("iterations: true", "iterations", "true", "a whole number", "the default is 100"),
        ("iterations: 9000", "iterations", "9000", "less than or equal to 5000", "number of passes"),
        ("iterations: .nan", "iterations", ".nan", "a whole number", "number of passes"),
        ("step: .inf", "step", ".inf", "a finite number", "length of a step"),
        ("step: .nan", "step", ".nan", "a finite number", "length of a step"),
        ("positive: NO", "positive", "'NO'", "true or false", "density is not below zero"),
        ("shape: spere", "shape", "'spere'", "'sphere', 'cube' or 'film'", "did you mean 'sphere'?"),
        ("label: [a]", "label", "['a']", "a text", "a word"),
        ("centre: {x: 3}", "centre.x", "3", "a number with its unit", "'3 angstrom'"),
        ("centre: {z: 3 nm}", "centre.z", "the unknown parameter 'z'", "known", "known are 'name', 'x'"),
        ("centre: 3", "centre", "3", "a mapping", "centre of the support"),
        ("mask: none.npy", "mask", "'none.npy'", "a file that exists", "there is no"),
    ],
)
def test_a_wrong_value_is_told_with_what_was_wanted(
    wrong: Mistake, text: str, field: str, found: str, wanted: str, fix: str
) -> None:
    problem = wrong(text)
    assert problem.field == f"steps[0].params.{field}"
    assert problem.found == found
    assert wanted in problem.wanted
    assert fix in problem.fix
    assert problem.line == 4


def test_values_that_do_not_go_together_are_told_at_the_block(wrong: Mistake) -> None:
    problem = wrong("window: [2 nm, 1 nm]")
    assert problem.field == "steps[0].params"
    assert problem.found == "{window: ['2 nm', '1 nm']}"
    assert problem.wanted == "the inner radius is not below the outer"


def test_a_list_that_is_too_short_is_told_with_the_default_and_its_unit(mistake: Mistake) -> None:
    steps = "[{name: a, stage: simulate.graphene}, {name: b, stage: simulate.hrtem, from: a, params: {defocus: []}}]"
    found = mistake(f"steps: {steps}\n")
    assert (found.found, found.wanted) == ("[]", "more items")
    assert found.fix.endswith("the default is [60 angstrom]")


def test_nested_blocks_and_files_are_made_whole(params: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "m.npy").touch()
    made = params("centre: {x: 1 nm, name: 7}, mask: m.npy")
    assert (made.centre.x, made.centre.name) == (10.0, "7")
    assert made.mask == tmp_path / "m.npy"


def test_params_that_are_no_mapping_are_refused(mistake: Mistake, tmp_path: Path) -> None:
    found = mistake("steps:\n  - {name: a, stage: toy.seed, params: [1]}\n")
    assert found.wanted == "a mapping of parameters"
