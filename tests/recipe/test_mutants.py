"""Recipes changed at random: a plan or a message, never anything else."""

from __future__ import annotations

import random
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from aetx.errors import AetxWarning, RecipeError
from aetx.recipe import Plan

GOOD = """\
title: all that the language has
vars: {width: 2 nm, n: 3, areas: 1-2}
inputs:
  s: {path: "P{${vars.areas}}.mrc", angles: [[0, 1, 2]], pixel_size: 0.3 angstrom, axes: [x, y, tilt]}
  more: {path: x.toy, join: tilt}
for_each: s
sweep: {t: [1, 2]}
steps:
  - {name: a, stage: toy.seed, params: {seed: "${sweep.t}"}, keep: true}
  - {name: v, stage: toy.solve, from: s, params: {width: "${vars.width}", window: [1 nm, 20 nm], centre: {x: 1 nm}}}
  - {name: w, stage: toy.stitch, from: [v, more]}
  - {name: r, stage: toy.refine, from: {atoms: a, series: s}}
export: {a: [extxyz, {cif: {margin: 3 angstrom}}], v: mrc}
report: [a, v]
run: {output: out, memory: 4 GB, scheduler: threads, device: cpu}
"""
BITS = (
    *"{}[]: \n*&'\"#-?|>\t",
    *("- ", "${vars.n}", "${", "null", "*a", "!!x", "1e999", "\u2028", ".nan", "true", "a" * 300, "[1, 2]", "..", "/"),
    *("---\n", "%YAML 1.1\n", "{1-3}", "{1-999999999}", "9" * 500, "::", "9**9**9 m", "<<: ", "\\x00", "é"),
)


def mutant(chance: random.Random) -> str:
    text = GOOD
    for _ in range(chance.randint(1, 4)):
        at, kind = chance.randrange(len(text)), chance.random()
        if kind < 0.4:
            text = text[:at] + chance.choice(BITS) + text[at:]
        elif kind < 0.7:
            text = text[:at] + text[at + chance.randint(1, 12) :]
        else:
            words = [*re.finditer(r"[^\s,:{}\[\]]+", text)]
            one = chance.choice(words)
            text = (
                text[: one.start()] + chance.choice([chance.choice(words)[0], chance.choice(BITS)]) + text[one.end() :]
            )
    return text


@pytest.mark.parametrize("seed", range(4))
def test_a_changed_recipe_gives_a_plan_or_messages(read: Callable[..., Plan], tmp_path: Path, seed: int) -> None:
    for name in ("P1.mrc", "P2.mrc", "x.toy"):
        (tmp_path / name).touch()
    before = sorted(tmp_path.rglob("*"))
    chance = random.Random(seed)
    refused: list[RecipeError] = []
    for _ in range(60):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AetxWarning)
            try:
                read(mutant(chance))
            except RecipeError as error:
                refused.append(error)
    assert 30 < len(refused) < 60
    problems = [one for error in refused for one in error.problems]
    assert all(one.field and one.found and one.wanted and one.fix for one in problems)
    assert sorted(path for path in tmp_path.rglob("*") if path.name != "r.yaml") == before
