"""From recipe to plan: kinds along the graph, lists, jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aetx.errors import AetxWarning, Problem, RecipeError
from aetx.model import ATOMS, TILT_SERIES, VOLUME
from aetx.recipe import Plan, load

Read = Callable[..., Plan]
Mistake = Callable[..., Problem]

FILM = """\
title: tiles of a film
vars: {areas: 20-22}
inputs:
  area: {path: "P{${vars.areas}}.mrc", angles: a.tlt, pixel_size: 0.358 angstrom}
steps:
  - {name: tile, stage: toy.solve, from: area}
  - {name: peaks, stage: toy.peaks, from: tile}
  - {name: film, stage: toy.stitch, from: tile}
  - {name: atoms, stage: toy.peaks, from: film, keep: true}
export: {atoms: [extxyz, lammps], tile: mrc, film: {mrc: {}}}
report: [tile, atoms]
"""
SEED = "steps: [{name: a, stage: toy.seed}]\n"


def touch(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).touch()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    touch(tmp_path, "a.tlt", *(f"P{i}.mrc" for i in range(19, 25)))
    return tmp_path


def test_a_list_is_made_flat_and_gathered(read: Read, film: Path) -> None:
    plan = read(FILM)
    (job,) = plan.jobs
    assert plan.title == "tiles of a film"
    assert [one.name for one in job.inputs] == ["area/20", "area/21", "area/22"]
    assert job.inputs[0].kind is TILT_SERIES
    assert job.inputs[0].stated == {"angles": str(film / "a.tlt"), "pixel_size": 0.358}
    assert {step.name: dict(step.sources) for step in job.steps} == {
        "tile/20": {"series": ("area/20",)},
        "tile/21": {"series": ("area/21",)},
        "tile/22": {"series": ("area/22",)},
        "peaks/20": {"volume": ("tile/20",)},
        "peaks/21": {"volume": ("tile/21",)},
        "peaks/22": {"volume": ("tile/22",)},
        "film": {"tiles": ("tile/20", "tile/21", "tile/22")},
        "atoms": {"volume": ("film",)},
        "atoms.extxyz": {"atoms": ("atoms",)},
        "atoms.lammps": {"atoms": ("atoms",)},
        "tile/20.mrc": {"volume": ("tile/20",)},
        "tile/21.mrc": {"volume": ("tile/21",)},
        "tile/22.mrc": {"volume": ("tile/22",)},
        "film.mrc": {"volume": ("film",)},
    }
    assert [step.name for step in job.steps if step.keep] == ["atoms"]
    assert job.report == ("tile/20", "tile/21", "tile/22", "atoms")
    assert job.variables == {"areas": "20-22"}


def test_any_block_of_areas_runs_with_set(read: Read, film: Path) -> None:
    assert [one.name for one in read(FILM, sets={"areas": "24"}).jobs[0].inputs] == ["area/24"]
    assert [one.name for one in read(FILM, sets={"areas": "19,23"}).jobs[0].inputs] == ["area/19", "area/23"]


def test_many_takes_names_as_well_as_lists(read: Read, film: Path) -> None:
    text = """\
inputs: {one: {path: P19.mrc, kind: volume}, more: {path: "P{20-21}.mrc", kind: volume}}
steps: [{name: all, stage: toy.stitch, from: [one, more]}, {name: again, stage: toy.stitch, from: {tiles: one}}]
"""
    steps = read(text).jobs[0].steps
    assert steps[0].sources == {"tiles": ("one", "more/20", "more/21")}
    assert steps[1].sources == {"tiles": ("one",)}


def test_lists_of_different_members_do_not_go_together(mistake: Mistake, film: Path) -> None:
    text = """\
inputs: {s: {path: "P{20-21}.mrc", angles: a.tlt}, v: {path: "P{20-22}.mrc", kind: volume}}
steps: [{name: p, stage: toy.peaks, from: v}, {name: r, stage: toy.refine, from: {atoms: p, series: s}}]
"""
    assert mistake(text).found == "'p' has 20, 21, 22; 's' has 20, 21"


def test_for_each_makes_a_job_of_every_file(read: Read, film: Path) -> None:
    text = """\
inputs: {s: {path: "P*.mrc", angles: "${each.name}.tlt"}}
for_each: s
steps: [{name: v, stage: toy.solve, from: s}]
"""
    touch(film, *(f"P{i}.tlt" for i in range(19, 25)))
    jobs = read(text).jobs
    assert [job.name for job in jobs] == [f"P{i}" for i in range(19, 25)]
    assert jobs[2].inputs[0].name == "s"
    assert jobs[2].inputs[0].paths == (film / "P21.mrc",)
    assert jobs[2].inputs[0].stated["angles"] == str(film / "P21.tlt")
    assert [step.name for step in jobs[2].steps] == ["v"]


def test_a_sweep_makes_a_job_of_every_combination(read: Read) -> None:
    text = """\
sweep: {w: [1 nm, 20 angstrom], label: [x, "a/b"]}
steps:
  - {name: a, stage: toy.seed}
  - {name: s, stage: toy.images, from: a}
  - {name: v, stage: toy.solve, from: s, params: {width: "${sweep.w}", label: "${sweep.label}"}}
"""
    jobs = read(text).jobs
    assert [job.name for job in jobs] == [
        "w=1nm_label=x",
        "w=1nm_label=a_b",
        "w=20angstrom_label=x",
        "w=20angstrom_label=a_b",
    ]
    assert [job.step("v").params.model_dump()["width"] for job in jobs] == [10, 10, 20, 20]
    assert jobs[1].variables == {"sweep.w": "1 nm", "sweep.label": "a/b"}


def test_jobs_have_safe_names_of_their_own(read: Read, mistake: Mistake, film: Path) -> None:
    touch(film, "漢 字.xyz", "漢;字.xyz", "a.xyz")
    text = "inputs: {s: {path: '*.xyz', kind: volume}}\nfor_each: s\nsteps: [{name: p, stage: toy.peaks, from: s}]\n"
    assert mistake(text).found == "two files called '漢_字'"
    (film / "漢;字.xyz").unlink()
    assert [job.name for job in read(text).jobs] == ["a", "漢_字"]
    sweep = (
        f"sweep: {{n: [1, 1, {'9' * 99}]}}\nsteps: [{{name: a, stage: toy.seed, params: {{seed: '${{sweep.n}}'}}}}]\n"
    )
    names = [job.name for job in read(sweep).jobs]
    assert names[:2] == ["n=1", "n=1_2"]
    assert len(names[2]) == 100
    text = text.replace("kind: volume", "kind: volume, join: tilt")
    assert mistake(text).fix == "remove one"


def test_one_mistake_in_many_jobs_is_told_once(mistake: Mistake, film: Path) -> None:
    text = """\
inputs: {s: {path: "P*.mrc", angles: a.tlt, pixel_sise: 3 nm}}
for_each: s
sweep: {n: [1, 2]}
steps: [{name: v, stage: toy.solve, from: s, params: {iterations: "${sweep.n}"}}]
"""
    assert mistake(text).fix == "did you mean 'pixel_size'?"


def test_join_makes_one_series_of_many_files(read: Read, film: Path) -> None:
    text = """\
inputs: {s: {path: "P*.mrc", angles: a.tlt, join: tilt}}
steps: [{name: v, stage: toy.solve, from: s}]
"""
    (job,) = read(text).jobs
    assert job.inputs[0].paths == tuple(film / f"P{i}.mrc" for i in range(19, 25))
    assert job.inputs[0].name == "s"


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        ("{path: P20.mrc, kind: volume}", VOLUME),
        ("{path: P20.mrc, angles: a.tlt}", TILT_SERIES),
        ("{path: x.toy}", VOLUME),
        ("{path: P20.mrc, reader: toy}", VOLUME),
        ("x.toy", VOLUME),
    ],
)
def test_the_kind_of_an_input_is_stated_or_follows(read: Read, film: Path, block: str, kind: object) -> None:
    touch(film, "x.toy")
    with pytest.warns(AetxWarning, match=r"r\.yaml:2:10: inputs\.v is not used"):
        plan = read(f"inputs: {{v: {block}}}\n" + SEED)
    assert plan.jobs[0].inputs[0].kind is kind


def test_a_kind_that_cannot_be_known_must_be_stated(mistake: Mistake, film: Path) -> None:
    touch(film, "P20.xyzzy")
    found = mistake("inputs: {v: {path: P20.xyzzy}}\nsteps: [{name: a, stage: toy.peaks, from: v}]\n")
    assert (found.field, found.found, found.column) == ("inputs.v", "no 'kind'", 10)
    found = mistake("inputs: {v: {path: P20.mrc, kind: volum}}\nsteps: [{name: a, stage: toy.peaks, from: v}]\n")
    assert found.fix == "did you mean 'volume'?"


def test_steps_run_in_the_order_they_stand_and_circles_are_printed(mistake: Mistake) -> None:
    later = "steps:\n  - {name: i, stage: toy.images, from: a}\n  - {name: a, stage: toy.seed}\n"
    assert mistake(later).fix == "move step 'a' above this one"
    circle = """\
steps:
  - {name: b, stage: toy.images, from: c}
  - {name: v, stage: toy.solve, from: b}
  - {name: c, stage: toy.peaks, from: v}
"""
    assert mistake(circle).found == "c -> v -> b -> c"
    assert mistake("steps: [{name: a, stage: toy.images, from: a}]\n").found == "a -> a"


def test_optional_inputs_may_be_left_out_and_others_not(read: Read, mistake: Mistake) -> None:
    text = """\
steps:
  - {name: a, stage: toy.seed}
  - {name: s, stage: toy.images, from: a}
  - {name: v, stage: toy.solve, from: s}
  - {name: r, stage: toy.refine, from: %s}
"""
    assert read(text % "{atoms: a, series: s}").jobs[0].step("r").sources == {"atoms": ("a",), "series": ("s",)}
    assert "support" in read(text % "{atoms: a, series: s, support: v}").jobs[0].step("r").sources
    found = mistake(text % "a")
    assert found.wanted == "'series', a tilt series, for toy.refine"
    assert mistake(text % "{atoms: [a, a], series: s}").wanted == "one name: toy.refine takes one atoms"


@pytest.mark.parametrize(
    ("text", "field", "fix"),
    [
        ("stepz: 1\n" + SEED, "stepz", "did you mean 'steps'?"),
        ("steps: [{name: a, stage: toy.seed, frm: b}]\n", "steps[0].frm", "did you mean 'from'?"),
        ("steps: [{name: a, stage: toy.seed, from: b}]\n", "steps[0].from", "remove 'from'"),
        ("steps: [{stage: toy.seed}]\n", "steps[0]", "name the result of the step"),
        ("steps: [{name: a}]\n", "steps[0]", "'aetx stages' lists them"),
        ("steps: [{name: ../a, stage: toy.seed}]\n", "steps[0].name", "choose a name that can be"),
        ("steps: [{name: a/b, stage: toy.seed}]\n", "steps[0].name", "choose a name that can be"),
        ("steps: [{name: a.b, stage: toy.seed}]\n", "steps[0].name", "choose a name that can be"),
        (f"steps: [{{name: {'a' * 300}, stage: toy.seed}}]\n", "steps[0].name", "choose a name that can be"),
        ("steps: [{name: a, stage: toy.seed}, {name: a, stage: toy.seed}]\n", "steps[1].name", "first is on line 2"),
        ("steps: [{name: a, stage: toy.seed}, {name: A, stage: toy.seed}]\n", "steps[1].name", "first is on line 2"),
        ("steps: [{name: a, stage: 3}]\n", "steps[0].stage", "known are"),
        ("steps: [{name: a, stage: toy.seed, keep: 1}]\n", "steps[0].keep", "leave it out"),
        ("steps: [a]\n", "steps[0]", "write {name"),
        ("steps: []\n", "steps", "write steps:"),
        ("steps: {a: b}\n", "steps", "write steps:"),
        ("inputs: [a]\n" + SEED, "inputs", "write inputs:"),
        ("inputs: {b: {kind: volume}}\n" + SEED, "inputs.b", "say which file it is"),
        ("inputs: {b: 3}\n" + SEED, "inputs.b", "write {path"),
        ("inputs: {'a b': {path: r.yaml, kind: volume}}\n" + SEED, "inputs.a b", "choose a name"),
        ("for_each: x\n" + SEED, "for_each", "none is known"),
        ("sweep: {x: 3}\n" + SEED, "sweep.x", "write x: [first, second]"),
        ("sweep: {x: []}\n" + SEED, "sweep.x", "write x: [first, second]"),
        ("sweep: {x: [1, 2]}\nvars: {x: 1}\n" + SEED, "sweep.x", "take it out of vars: and write ${sweep.x}"),
        ("title: [a]\n" + SEED, "title", "write it as one line"),
        ("report: [b]\n" + SEED, "report[0]", "known are 'a'"),
        ("report: b\n" + SEED, "report", "known are 'a'"),
        ("export: [a]\n" + SEED, "export", "write export:"),
        ("export: {b: [cif]}\n" + SEED, "export.b", "known are 'a'"),
        ("export: {a: [cff]}\n" + SEED, "export.a[0]", "did you mean 'cif'?"),
        ("export: {a: [cif, cif]}\n" + SEED, "export.a[1]", "remove one"),
        ("export: {a: [mrc]}\n" + SEED, "export.a[0]", "choose a format for atoms"),
        ("export: {a: [{cif: {margine: 3}}]}\n" + SEED, "export.a[0].margine", "did you mean 'margin'?"),
        ("export: {a: 3}\n" + SEED, "export.a", "write {atoms"),
        ("run: {memry: 1}\n" + SEED, "run.memry", "did you mean 'memory'?"),
        ("run: 010\n" + SEED, "run", "known keys are"),
    ],
)
def test_a_mistake_in_the_frame_of_a_recipe_is_told(mistake: Mistake, text: str, field: str, fix: str) -> None:
    found = mistake(text)
    assert found.field == field
    assert fix in found.fix
    assert found.line >= 2
    assert found.column >= 1


def test_the_version_of_the_language_is_stated(tmp_path: Path) -> None:
    for head in ("", "aetx: 2\n", "aetx: true\n", "aetx: '1'\n"):
        (tmp_path / "r.yaml").write_text(head + "steps: [{name: a, stage: simulate.particle}]\n")
        with pytest.raises(RecipeError, match="aetx: found") as caught:
            load(tmp_path / "r.yaml")
        assert len(caught.value.problems) == 1


def test_other_packages_take_part_only_when_they_are_named(mistake: Mistake) -> None:
    found = mistake(SEED, plugins=frozenset())
    assert found.found == "the unknown stage 'toy.seed'"
    found = mistake("steps: [{name: a, stage: simulate.particle}]\n", plugins=frozenset({"aetx-tyo"}))
    assert (found.file, found.fix) == ("command line", "pip install aetx-tyo")


def test_a_broken_package_is_named(mistake: Mistake) -> None:
    plugins = frozenset({"aetx-broken"})
    found = mistake("steps: [{name: a, stage: toy.wrong}]\n", plugins=plugins)
    assert (found.found, found.wanted) == ("'toy.peaks'", "a stage named 'toy.wrong'")
    found = mistake("steps: [{name: a, stage: toy.absent}]\n", plugins=plugins)
    assert found.found == "'toy.absent', which needs the package 'aetx_no_such_package'"
    assert found.fix == "pip install aetx_no_such_package"


def test_titles_are_text_whatever_they_look_like(read: Read) -> None:
    for title in ("NO", "010", "1:30", "2026-11-21", "'<img src=x onerror=alert(1)>'", '"{{ cycler }}"', "12"):
        assert read(f"title: {title}\n" + SEED).title == title.strip("'\"")


def test_what_nothing_uses_is_told(read: Read, film: Path) -> None:
    text = "vars: {n: 1}\nsweep: {m: [1]}\ninputs: {v: {path: P20.mrc, kind: volume}}\n" + SEED
    with pytest.warns(AetxWarning) as heard:
        read(text)
    assert [str(one.message) for one in heard] == [
        "r.yaml:4:10: inputs.v is not used",
        "r.yaml:2:8: vars.n is not used",
        "r.yaml:3:9: sweep.m is not used",
    ]


def test_a_missing_side_file_is_a_mistake(mistake: Mistake, film: Path) -> None:
    text = "inputs: {s: {path: P20.mrc, angles: %s}}\nsteps: [{name: v, stage: toy.solve, from: s}]\n"
    found = mistake(text % "b.tlt")
    assert (found.field, found.column) == ("inputs.s.angles", 37)
    assert mistake(text % "{path: b.tlt}").field == "inputs.s.angles.path"
    assert mistake(text % "http://x/b.tlt").wanted == "a local path: network inputs are off"
    assert mistake(text % "{path: a.tlt, unit: rad}").fix == "did you mean 'units'?"


def test_angles_may_stand_in_the_recipe(read: Read, film: Path) -> None:
    text = "inputs: {s: {path: P20.mrc, angles: %s}}\nsteps: [{name: v, stage: toy.solve, from: s}]\n"
    assert read(text % "[-30, 0, 30.5]").jobs[0].inputs[0].stated["angles"] == (-30, 0, 30.5)
    assert read(text % "[[0, 1, 2], [3, 4, 5]]").jobs[0].inputs[0].stated["angles"] == ((0, 1, 2), (3, 4, 5))


def test_a_plan_knows_its_text_and_stays_out_of_the_output(read: Read, tmp_path: Path) -> None:
    plan = read(SEED)
    assert plan.text == "aetx: 1\n" + SEED
    assert len(plan.sha256) == 64
    assert plan.settings.output == tmp_path / "out" / "r"
    assert plan.jobs[0].report == ("a",)
    assert plan.jobs[0].inputs == ()
    assert plan.jobs[0].steps[0].stage.gives is ATOMS
    assert [path.name for path in tmp_path.iterdir()] == ["r.yaml"]
