"""Bad recipes and bad command lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.faults.inputs.base import RUN, Maker, Table, mrc

TABLE = Table({})
HEAD = b"aetx: 1\n"
STEP = b"steps: [{name: a, stage: simulate.particle}]\n"
BOMB = b"\n".join(
    [b"a0: &a0 [x]"] + [b"a%d: &a%d [%s]" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 10)) for i in range(1, 10)]
)


def text(content: bytes, *more: str, out: bool = True) -> Maker:
    """Return a maker that writes a recipe, and an input beside it."""

    def make(folder: Path) -> Sequence[str]:
        (folder / "recipe.yaml").write_bytes(content)
        (folder / "s.mrc").write_bytes(mrc())
        return [*(RUN if out else ("run", "recipe.yaml", "--json")), *more]

    return make


def of_input(block: str, steps: str = "[{name: a, stage: prepare.normalise, from: s}]") -> bytes:
    """Return a recipe with an input block as it stands."""
    return f"aetx: 1\ninputs:\n  s: {block}\nsteps: {steps}\nreport: []\n".encode()


GOOD = "{path: s.mrc, angles: [-70, -35, 0, 35, 70]}"
LONG = b"x" * 40_000

REFUSED: dict[str, tuple[bytes, Any]] = {
    "R01 tag that calls": (HEAD + b"title: !!python/object/apply:os.system [touch CANARY]\n" + STEP, "tags are not"),
    "R01 tag of a module": (HEAD + b"title: !!python/module:os\n" + STEP, "tags are not allowed"),
    "R01 tag on a key": (HEAD + b"!!python/name:os.system title: a\n" + STEP, "tags are not allowed"),
    "R01 binary tag": (HEAD + b"title: !!binary aGVsbG8=\n" + STEP, "tags are not allowed"),
    "R01 local tag": (HEAD + b"title: !include /etc/passwd\n" + STEP, "tags are not allowed"),
    "R02 alias bomb": (BOMB, "aliases are not allowed"),
    "R03 alias to itself": (b"a: &a [*a]\n", "aliases are not allowed"),
    "R03 merge key": (HEAD + b"x: &x {a: 1}\ny: {<<: *x}\n" + STEP, "aliases are not allowed"),
    "R04 nested lists": (b"a: " + b"[" * 100_000, "at most 50 levels"),
    "R04 nested mappings": (b"a: " + b"{a: " * 50_000, "at most 50 levels"),
    "R04 nested blocks": (b"".join(b" " * i + b"a:\n" for i in range(300)), "at most 50 levels"),
    "R05 key twice": (HEAD + b"title: a\ntitle: b\n" + STEP, "each key once"),
    "R05 key twice in a step": (HEAD + b"steps: [{name: a, stage: simulate.particle, name: b}]\n", "each key once"),
    "R10 Latin-1": (HEAD + b"title: \xb5m\n" + STEP, "UTF-8"),
    "R10 cut in a letter": (HEAD + STEP + b"# \xe2\x82", "UTF-8"),
    "R09 UTF-16": ((HEAD + STEP).decode().encode("utf-16"), "UTF-8"),
    "R09 UTF-16 without mark": ((HEAD + STEP).decode().encode("utf-16-le"), "text"),
    "R09 UTF-32": ((HEAD + STEP).decode().encode("utf-32"), "UTF-8"),
    "zero bytes inside": (HEAD + b"title: a\0b\n" + STEP, "text"),
    "escape codes": (HEAD + b"title: a\x1b[2J\n" + STEP, "text"),
    "R11 tab": (HEAD + b"steps:\n\t- {}\n", "YAML 1.2"),
    "open quote": (HEAD + b'title: "a\n' + STEP, "YAML 1.2"),
    "open brace": (HEAD + b"steps: [{name: a\n", "YAML 1.2"),
    "wrong indent": (HEAD + b"steps:\n  - name: a\n   stage: b\n", "YAML 1.2"),
    "a directive": (b"%YAML 9.9\n---\n" + HEAD + STEP, ""),
    "two documents": (HEAD + STEP + b"---\n" + HEAD + STEP, "one"),
    "R12 misspelled parameter": (
        HEAD + b"steps: [{name: a, stage: simulate.particle, params: {elemnt: Pt}}]\n",
        "mean",
    ),
    "R12 misspelled stage": (HEAD + b"steps: [{name: a, stage: simulate.partcle}]\n", "did you mean"),
    "R12 misspelled section": (HEAD + STEP + b"exprot: {a: extxyz}\n", "did you mean"),
    "R12 misspelled input key": (of_input("{path: s.mrc, pixle_size: 1 nm}"), "did you mean"),
    "R12 misspelled reader": (of_input("{path: s.mrc, reader: mcr}"), "did you mean"),
    "R12 misspelled kind": (of_input("{path: s.mrc, kind: volumes}"), "did you mean"),
    "R13 steps in a circle": (
        HEAD + b"steps: [{name: a, stage: simulate.images, from: b}, {name: b, stage: simulate.images, from: a}]\n",
        "wait for each other",
    ),
    "R13 a step from itself": (HEAD + b"steps: [{name: a, stage: simulate.images, from: a}]\n", ""),
    "R13 variables in a circle": (HEAD + b"vars: {x: '${vars.y}', y: '${vars.x}'}\n" + STEP, "no circle"),
    "R14 one name twice": (HEAD + STEP[:-2] + b", {name: a, stage: simulate.particle}]\n", "a name of its own"),
    "R14 names that differ in case": (
        HEAD + b"steps: [{name: a, stage: simulate.particle}, {name: A, stage: simulate.particle}]\n",
        "",
    ),
    "R14 a step named as an input": (
        of_input(GOOD, "[{name: s, stage: prepare.normalise, from: s}]"),
        "",
    ),
    "R17 network": (of_input("http://169.254.169.254/latest/meta-data"), "network inputs are off"),
    "R17 object store": (of_input("{path: 's3://bucket/x.zarr'}"), "network inputs are off"),
    "R17 file address": (of_input("{path: 'file:///etc/passwd'}"), "network inputs are off"),
    "R17 with capitals": (of_input("{path: 'HTTP://a/b.mrc'}"), "network inputs are off"),
    "R18 chained": (of_input("{path: 'simplecache::reference://refs.json'}"), "chained URLs"),
    "R17 angles from the network": (of_input("{path: s.mrc, angles: 'http://a/b.rawtlt'}"), ""),
    "R21 empty": (b"", "a mapping of keys to values"),
    "R21 comments": (b"# a\n# b\n", "a mapping of keys to values"),
    "R21 list": (b"- a\n", "a mapping of keys to values"),
    "R21 a word": (b"hello\n", "a mapping of keys to values"),
    "R21 only blanks": (b"  \n\n   ", "a mapping of keys to values"),
    "R21 no steps": (HEAD, "at least one step"),
    "R21 empty steps": (HEAD + b"steps: []\n", "at least one step"),
    "R21 steps as a mapping": (HEAD + b"steps: {a: 1}\n", "at least one step"),
    "R21 a step that is a word": (HEAD + b"steps: [a]\n", ""),
    "R21 a step of nothing": (HEAD + b"steps: [null]\n", ""),
    "R21 no version": (STEP, "aetx: 1"),
    "R21 version 2": (b"aetx: 2\n" + STEP, "version 1"),
    "R21 version true": (b"aetx: true\n" + STEP, "version 1"),
    "R22 nan": (HEAD + b"steps: [{name: a, stage: simulate.particle, params: {vacancies: .nan}}]\n", "a finite number"),
    "R22 infinite": (HEAD + b"steps: [{name: a, stage: simulate.particle, params: {smallest: .inf}}]\n", ""),
    "R22 negative": (HEAD + b"steps: [{name: a, stage: simulate.particle, params: {seed: -3}}]\n", "greater than"),
    "R22 huge": (HEAD + b"steps: [{name: a, stage: simulate.particle, params: {seed: 1" + b"0" * 400 + b"}}]\n", ""),
    "R22 huger": (HEAD + b"steps: [{name: a, stage: simulate.particle, params: {seed: 1" + LONG + b"}}]\n", ""),
    "R22 a number of many digits": (
        HEAD + b"steps: [{name: a, stage: simulate.particle, params: {seed: " + b"9" * 20_000 + b"}}]\n",
        "",
    ),
    "R22 out of range": (HEAD + b"steps: [{name: a, stage: simulate.particle, params: {vacancies: 7}}]\n", "less than"),
    "R22 true for a number": (HEAD + b"steps: [{name: a, stage: simulate.particle, params: {seed: true}}]\n", ""),
    "R22 a list for a number": (HEAD + b"steps: [{name: a, stage: simulate.particle, params: {seed: [1]}}]\n", ""),
    "R22 text for a number": (HEAD + b"steps: [{name: a, stage: simulate.particle, params: {seed: many}}]\n", ""),
    "R22 null for a number": (HEAD + b"steps: [{name: a, stage: simulate.particle, params: {seed: null}}]\n", ""),
    "R22 no unit": (HEAD + b"steps: [{name: a, stage: simulate.particle, params: {smallest: 22}}]\n", "unit"),
    "R22 wrong unit": (HEAD + b"steps: [{name: a, stage: simulate.particle, params: {smallest: 22 keV}}]\n", "unit"),
    "R22 misspelled unit": (
        HEAD + b"steps: [{name: a, stage: simulate.particle, params: {smallest: 22 angstorm}}]\n",
        "unit",
    ),
    "R22 a comma for a point": (
        HEAD + b"steps: [{name: a, stage: simulate.particle, params: {smallest: '2,2 nm'}}]\n",
        "unit",
    ),
    "R22 a unit that computes": (
        HEAD + b"steps: [{name: a, stage: simulate.particle, params: {smallest: '9**9**9**9 nm'}}]\n",
        "",
    ),
    "R22 a unit that calls": (
        HEAD + b"steps: [{name: a, stage: simulate.particle, params: {smallest: '__import__(\"os\") nm'}}]\n",
        "",
    ),
    "R22 a long unit": (
        HEAD + b"steps: [{name: a, stage: simulate.particle, params: {smallest: '1 " + b"nm*" * 5000 + b"nm'}}]\n",
        "",
    ),
    "R22 parameters as a list": (HEAD + b"steps: [{name: a, stage: simulate.particle, params: [1]}]\n", ""),
    "R23 memory: lots": (HEAD + b"run: {memory: lots}\n" + STEP, "a size with a unit"),
    "R23 memory: -1": (HEAD + b"run: {memory: -1}\n" + STEP, "a size with a unit"),
    "R23 memory: 0": (HEAD + b"run: {memory: 0}\n" + STEP, "a size with a unit"),
    "R23 memory: 0GB": (HEAD + b"run: {memory: 0GB}\n" + STEP, "at least"),
    "R23 memory: 2 G": (HEAD + b"run: {memory: 2 G}\n" + STEP, "a size with a unit"),
    "R23 memory: nan": (HEAD + b"run: {memory: nan GB}\n" + STEP, "a size with a unit"),
    "R23 memory: 1e3 GB": (HEAD + b"run: {memory: 1e999GB}\n" + STEP, "a size with a unit"),
    "R23 memory: true": (HEAD + b"run: {memory: true}\n" + STEP, "a size with a unit"),
    "R23 memory: a list": (HEAD + b"run: {memory: [1GB]}\n" + STEP, ""),
    "R23 scheduler": (HEAD + b"run: {scheduler: thread}\n" + STEP, "did you mean"),
    "R23 scheduler elsewhere": (HEAD + b"run: {scheduler: 'http://a:1'}\n" + STEP, ""),
    "R23 device": (HEAD + b"run: {device: gpu}\n" + STEP, "cuda"),
    "R23 run as a list": (HEAD + b"run: [1]\n" + STEP, "a mapping"),
    "a key that is a list": (HEAD + b"? [a, b]\n: 1\n" + STEP, "a name as key"),
    "a key that is a mapping": (HEAD + b"? {a: b}\n: 1\n" + STEP, "a name as key"),
    "a number as key": (HEAD + b"1: 2\n" + STEP, "a known key"),
    "an empty key": (HEAD + b"'': 2\n" + STEP, "a name as key"),
    "a key of 40 kB": (HEAD + LONG + b": 2\n" + STEP, ""),
    "a title that is a list": (HEAD + b"title: [a]\n" + STEP, "a text"),
    "a name with a slash": (HEAD + b"steps: [{name: ../a, stage: simulate.particle}]\n", ""),
    "a name that is a number": (HEAD + b"steps: [{name: 7, stage: simulate.particle}]\n", ""),
    "a name of blanks": (HEAD + b"steps: [{name: '  ', stage: simulate.particle}]\n", ""),
    "a name of 300 letters": (HEAD + b"steps: [{name: " + b"a" * 300 + b", stage: simulate.particle}]\n", ""),
    "a step without a name": (HEAD + b"steps: [{stage: simulate.particle}]\n", ""),
    "a step without a stage": (HEAD + b"steps: [{name: a}]\n", ""),
    "a stage that is a module": (HEAD + b"steps: [{name: a, stage: os.system}]\n", ""),
    "a stage that is a path": (HEAD + b"steps: [{name: a, stage: ../../x.y}]\n", ""),
    "a stage that is a list": (HEAD + b"steps: [{name: a, stage: [simulate.particle]}]\n", ""),
    "a stage hidden by a mark": (HEAD + b"steps: [{name: a, stage: simulate._params}]\n", ""),
    "from nothing": (HEAD + b"steps: [{name: a, stage: prepare.normalise}]\n", ""),
    "from nobody": (HEAD + b"steps: [{name: a, stage: prepare.normalise, from: nobody}]\n", ""),
    "from a number": (HEAD + b"steps: [{name: a, stage: prepare.normalise, from: 3}]\n", ""),
    "from another kind": (of_input(GOOD, "[{name: a, stage: trace.peaks, from: s}]"), ""),
    "keep: maybe": (HEAD + b"steps: [{name: a, stage: simulate.particle, keep: maybe}]\n", ""),
    "inputs as a list": (b"aetx: 1\ninputs: [s.mrc]\n" + STEP, ""),
    "an input of nothing": (of_input("null"), ""),
    "an input without a path": (of_input("{kind: tilt_series}"), ""),
    "an input whose path is a number": (of_input("{path: 3}"), ""),
    "an input that is not there": (of_input("{path: nothing.mrc}"), "a file that exists"),
    "an input of nothing but blanks": (of_input("{path: '  '}"), ""),
    "an input with a zero byte": (of_input('{path: "a\\0b.mrc"}'), ""),
    "a pattern that matches nothing": (of_input("{path: 'q*.mrc'}"), "matches"),
    "a pattern without end": (of_input("{path: 's{1-999999999}.mrc'}"), "at most"),
    "braces without end": (of_input("{path: 's{0-9}{0-9}{0-9}{0-9}{0-9}{0-9}{0-9}{0-9}{0-9}.mrc'}"), ""),
    "a wildcard over everything": (of_input("{path: '/**/*/**/*/**/*.nothing'}"), ""),
    "for_each over nobody": (of_input(GOOD) + b"for_each: q\n", "the name of an input"),
    "for_each as a list": (of_input(GOOD) + b"for_each: [s]\n", "the name of an input"),
    "a sweep of nothing": (HEAD + STEP + b"sweep: {x: []}\n", "a list of values"),
    "a sweep without end": (
        HEAD + STEP + b"sweep: {" + b", ".join(b"x%d: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]" % i for i in range(12)) + b"}\n",
        "fewer",
    ),
    "a variable that is not there": (HEAD + b"title: a\n" + STEP + b"report: ['${vars.x}']\n", ""),
    "a brace left open": (HEAD + STEP + b"report: ['${vars.x']\n", ""),
    "a report of nobody": (HEAD + STEP + b"report: [b]\n", "the name of a step"),
    "an export of nobody": (HEAD + STEP + b"export: {b: extxyz}\n", ""),
    "an export to nothing known": (HEAD + STEP + b"export: {a: docx}\n", ""),
    "20,001 values": (HEAD + STEP + b"vars: {x: [" + b"1, " * 20_001 + b"]}\n", "fewer"),
    "a recipe of 2 MB": (HEAD + STEP + b"#" * (2 << 20), "at most"),
    "pixel size with a wrong unit": (of_input("{path: s.mrc, pixel_size: 3 keV}"), ""),
    "pixel size without a unit": (of_input("{path: s.mrc, pixel_size: 0.34}"), "unit"),
    "pixel size negative": (of_input("{path: s.mrc, pixel_size: -0.34 angstrom}"), "greater than 0"),
    "pixel size nan": (of_input("{path: s.mrc, pixel_size: nan angstrom}"), ""),
    "pixel size .nan": (of_input("{path: s.mrc, pixel_size: .nan}"), ""),
    "pixel size infinite": (of_input("{path: s.mrc, pixel_size: inf angstrom}"), ""),
    "pixel size of an unknown axis": (of_input("{path: s.mrc, pixel_size: {q: 1 angstrom}}"), ""),
    "pixel size a list": (of_input("{path: s.mrc, pixel_size: [1 angstrom]}"), ""),
    "dose negative": (of_input(GOOD[:-1] + ", dose: -3 e/angstrom^2}"), ""),
    "dose zero": (of_input(GOOD[:-1] + ", dose: 0 e/angstrom^2}"), ""),
    "dose of one image negative": (
        of_input(GOOD[:-1] + ", dose: [1 e/angstrom^2, -1 e/angstrom^2, 1 e/angstrom^2, 1 e/angstrom^2, 1 e/nm^2]}"),
        "",
    ),
    "origin a kilometre away": (of_input(GOOD[:-1] + ", origin: [1 km, 0 nm, 0 nm]}"), ""),
    "dose nan": (of_input(GOOD[:-1] + ", dose: nan e/angstrom^2}"), ""),
    "angles as words": (of_input("{path: s.mrc, angles: [a, b, c, d, e]}"), ""),
    "angles nan": (of_input("{path: s.mrc, angles: [-70, .nan, 0, 35, 70]}"), ""),
    "angles infinite": (of_input("{path: s.mrc, angles: [-70, .inf, 0, 35, 70]}"), ""),
    "angles as a number": (of_input("{path: s.mrc, angles: 3}"), ""),
    "angles that are not there": (of_input("{path: s.mrc, angles: no.rawtlt}"), "a file that exists"),
    "convention unknown": (of_input(GOOD[:-1] + ", convention: xyz}"), ""),
    "units unknown": (of_input(GOOD[:-1] + ", units: furlogn}"), ""),
    "override unknown": (of_input(GOOD[:-1] + ", override: [everything]}"), ""),
    "join along nothing": (of_input(GOOD[:-1] + ", join: focus}"), "tilt"),
}

for _name, (_content, _words) in REFUSED.items():
    TABLE.add(_name, 2, _words or (), text(_content))

UNFIT: dict[str, bytes] = {
    "axes unknown": of_input(GOOD[:-1] + ", axes: [q, y, x]}"),
    "axes twice": of_input(GOOD[:-1] + ", axes: [y, y, x]}"),
    "axes too few": of_input(GOOD[:-1] + ", axes: [y, x]}"),
    "units of a length": of_input(GOOD[:-1] + ", units: furlong}"),
    "a variable of an MRC file": of_input(GOOD[:-1] + ", variable: image}"),
    "columns of an MRC file": of_input(GOOD[:-1] + ", columns: [x, y]}"),
    "defocus of a tilt series": of_input(GOOD[:-1] + ", defocus: [1 nm, 2 nm]}"),
    "a frequency step of a tilt series": of_input(GOOD[:-1] + ", frequency_step: 0.1 1/angstrom}"),
    "species of images": of_input(GOOD[:-1] + ", species: Pt}"),
    "doses of four images": of_input(GOOD[:-1] + ", dose: [1 e/nm^2, 1 e/nm^2, 1 e/nm^2, 1 e/nm^2]}"),
    "angles as axis and angle, three each": of_input(
        "{path: s.mrc, angles: [[0, -70, 0], [0, -35, 0], [0, 0, 0], [0, 35, 0], [0, 70, 0]], convention: axis_angle}"
    ),
}
for _name, _content in UNFIT.items():
    TABLE.add(_name, 3, (), text(_content))

INSIDE: dict[str, tuple[str, str]] = {
    "R15 output leaves": ("../../etc/aetx", "leaves the run folder"),
    "R15 output leaves behind a folder": ("a/../../x", "leaves the run folder"),
    "R15 output absolute": ("/etc/aetx", "leaves the run folder"),
    "R24 output of another home": ("~root/x", "written out"),
    "R24 output of a variable": ("${HOME}/x", ""),
    "R16 output is an input": ("s.mrc", ""),
    "R16 output within an input": ("s.mrc/out", ""),
    "R16 output is here": (".", ""),
    "E19 output of 300 letters": ("a" * 300, "at most 255 bytes"),
    "output with a line break": ("a\\nb", ""),
    "output elsewhere": ("s3://bucket/out", ""),
    "output empty": ("", ""),
    "output deep": ("a/" * 2000 + "a", ""),
}
for _name, (_place, _words) in INSIDE.items():
    _made = of_input(GOOD) + f'run: {{output: "{_place}"}}\n'.encode()
    TABLE.add(_name, 2, _words or (), text(_made, out=False))

COMMANDS: dict[str, tuple[list[str], str]] = {
    "no such command": (["rnu", "recipe.yaml", "--json"], ""),
    "no recipe": (["run", "--json"], ""),
    "an unknown option": (["run", "recipe.yaml", "--memroy", "4GB", "--json"], ""),
    "a recipe that is not there": (["run", "nothing.yaml", "--json"], "a file that can be read"),
    "a recipe that is a folder": (["run", ".", "--json"], "a file"),
    "a recipe behind a file": (["run", "recipe.yaml/x.yaml", "--json"], ""),
    "a recipe without end": (["run", "/dev/zero", "--json"], "a file"),
    "a recipe of 5000 letters": (["run", "a" * 5000, "--json"], ""),
    "a recipe with a zero byte": (["run", "a\0b", "--json"], ""),
    "--set without a value": (["run", "recipe.yaml", "--set", "x", "--json"], "NAME=VALUE"),
    "--set of nobody": (["run", "recipe.yaml", "--set", "x=1", "--json"], ""),
    "--set of an unknown place": (["run", "recipe.yaml", "--set", "a.b.c.d.e=1", "--json"], ""),
    "--set with a tag": (["run", "recipe.yaml", "--set", "inputs.s.angles=[!!python/name:os.system a]", "--json"], ""),
    "--set deep": (["run", "recipe.yaml", "--set", f"inputs.s.angles={'[' * 3000}", "--json"], ""),
    "--memory of nothing": (["run", "recipe.yaml", "--memory", "", "--json"], ""),
    "--memory lots": (["run", "recipe.yaml", "--memory", "lots", "--json"], "a size with a unit"),
    "--device unknown": (["run", "recipe.yaml", "--device", "tpu", "--json"], ""),
    "--scheduler unknown": (["run", "recipe.yaml", "--scheduler", "tcp://a", "--json"], ""),
    "--plugin unknown": (["run", "recipe.yaml", "--plugin", "os", "--json"], ""),
    "--output is a file": (["run", "recipe.yaml", "--output", "s.mrc", "--json"], ""),
    "--output below a file": (["run", "recipe.yaml", "--output", "s.mrc/x", "--json"], ""),
    "--output of 300 letters": (["run", "recipe.yaml", "--output", "a" * 300, "--json"], ""),
    "--output with a zero byte": (["run", "recipe.yaml", "--output", "a\0b", "--json"], ""),
    "--output is the root": (["run", "recipe.yaml", "--output", "/", "--json"], ""),
    "stages of nobody": (["stages", "nobody.none", "--json"], ""),
    "bench of nobody": (["bench", "nobody", "--json"], ""),
}
for _name, (_arguments, _words) in COMMANDS.items():

    def _command(folder: Path, arguments: Sequence[str] = tuple(_arguments)) -> Sequence[str]:
        text(of_input(GOOD))(folder)
        return arguments

    TABLE.add(_name, 2, _words or (), _command)

FINE: dict[str, bytes] = {
    "R06 a small number": HEAD + b"steps: [{name: a, stage: simulate.particle, params: {vacancies: 1e-10}}]\n",
    "R07 words that YAML 1.1 takes for others": HEAD
    + b"title: NO\nvars: {run: 010, time: 1:30}\nsteps: [{name: a, stage: simulate.particle}]\n",
    "R08 a mark and carriage returns": b"\xef\xbb\xbf" + (HEAD + STEP).replace(b"\n", b"\r\n"),
    "R19 markup in the title": HEAD + b"title: '<img src=x onerror=alert(1)>'\n" + STEP,
    "R20 a template in the title": HEAD
    + b"title: \"{{ cycler.__init__.__globals__.os.system('touch CANARY') }}\"\n"
    + STEP,
    "R24 a shell in the output": HEAD + b"run: {output: '$(touch CANARY)'}\n" + STEP,
}


def _checked(content: bytes) -> Maker:
    def make(folder: Path) -> Sequence[str]:
        text(content)(folder)
        return ("check", "recipe.yaml", "--json")

    return make


for _name, _content in FINE.items():
    TABLE.add(_name, 0, (), _checked(_content))
