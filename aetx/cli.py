"""The command line. Heavy imports wait inside the commands, so that ``aetx --help`` answers at once."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aetx import console
from aetx.errors import InputError, Problem, RecipeError, caught

if TYPE_CHECKING:
    from aetx.bench._benchmark import Benchmark
    from aetx.core.describe import Description
    from aetx.core.registry import Registry
    from aetx.recipe import Plan

app = typer.Typer(
    name="aetx",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Recipe = Annotated[Path, typer.Argument(metavar="RECIPE", help="the recipe, a YAML file")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="replace vars.x (or x), steps.NAME.params.P, inputs.NAME.FIELD"),
]
Output = Annotated[
    str | None, typer.Option("--output", "-o", metavar="DIR", help="folder for the results [default: out/RECIPE]")
]
OutputFolder = Annotated[Path, typer.Argument(metavar="OUT", help="the output folder of a run")]
Memory = Annotated[str | None, typer.Option(metavar="SIZE", help="most memory that the run may take: 4GB, 500 MiB")]
Scheduler = Annotated[str | None, typer.Option(metavar="NAME", help="threads, local, slurm or tcp://host:port")]
Device = Annotated[str | None, typer.Option(metavar="NAME", help="cpu, cuda or cuda:1")]
Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="PACKAGE", help="an installed package whose stages and readers may be used"),
]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object")]


def _version(wanted: bool) -> None:
    if wanted:
        from aetx import __version__

        console.put(__version__)
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print it")] = False,
) -> None:
    """From the tilt series of an electron microscope to the 3D positions of single atoms, by one recipe."""


@app.command(short_help="Run a recipe; finished steps are kept.")
def run(
    recipe: Recipe,
    sets: Sets = None,
    output: Output = None,
    memory: Memory = None,
    scheduler: Scheduler = None,
    device: Device = None,
    plugins: Plugins = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace results that another recipe left")] = False,
    trusted: Annotated[
        bool,
        typer.Option("--trust-network", help="let a cluster work unencrypted: all on its network can act as you"),
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a recipe: results, exports, report and provenance in the output folder. Finished steps are kept."""
    plan = _load(recipe, sets, plugins, output, memory, scheduler, device)
    from aetx.run import run_plan

    done = run_plan(plan, trusted=trusted, overwrite=overwrite, quiet=as_json, command=sys.argv)
    console.show(as_json, done.as_dict, done.lines)


@app.command(short_help="Check a recipe without opening data.")
def check(
    recipe: Recipe,
    sets: Sets = None,
    output: Output = None,
    memory: Memory = None,
    scheduler: Scheduler = None,
    device: Device = None,
    plugins: Plugins = None,
    as_json: Json = False,
) -> None:
    """Check a recipe without opening data: names, kinds, parameters, units, files."""
    with caught() as told:
        plan = _load(recipe, sets, plugins, output, memory, scheduler, device)
    heard = [str(one.message) for one in told]
    if not as_json:
        for text in heard:
            console.warn(text)
    console.show(as_json, lambda: {"check": _summary(plan) | {"warnings": heard}}, lambda: _summary_lines(plan))


@app.command(short_help="Say what a run would do and why.")
def plan(
    recipe: Recipe,
    sets: Sets = None,
    output: Output = None,
    memory: Memory = None,
    scheduler: Scheduler = None,
    device: Device = None,
    plugins: Plugins = None,
    as_json: Json = False,
) -> None:
    """Say what a run would do and why: steps, sizes, memory, time. Opens the inputs, computes nothing."""
    found = _load(recipe, sets, plugins, output, memory, scheduler, device)
    from aetx.run import forecast

    told = forecast(found)
    console.show(as_json, told.as_dict, told.lines)


@app.command(short_help="List the stages, or describe one.")
def stages(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="a stage, such as reconstruct.resire")] = None,
    plugins: Plugins = None,
    as_json: Json = False,
) -> None:
    """List the stages, or describe one: its parameters, what it takes and gives, its reference."""
    from aetx.core.describe import describe
    from aetx.core.registry import stage_summary

    registry = _registry(plugins)
    if name is not None:
        one = describe(registry.stage(name))
        console.show(as_json, lambda: {"stage": one}, lambda: _stage_lines(one))
        return
    names = registry.stage_names()
    if as_json:
        console.put(json.dumps({"stages": [describe(registry.stage(each)) for each in names]}, indent=1))
        return
    width = max(map(len, names), default=0)
    for each in names:
        console.put(f"{each:{width}}  {stage_summary(each) or registry.stage(each).summary}".rstrip())


@app.command(short_help="Write the JSON Schemas of recipes and datasets.")
def schemas(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="where they are")] = Path("schemas"),
    check_only: Annotated[bool, typer.Option("--check", help="only tell whether they are current")] = False,
    plugins: Plugins = None,
    as_json: Json = False,
) -> None:
    """Write the JSON Schemas of recipes and of the kinds of dataset, from which editors complete and check."""
    from aetx.recipe.schema import schemas as make

    texts = make(_registry(plugins))
    stale = [name for name, text in texts.items() if _read(output / name) != text]
    if check_only and stale:
        fix = "run 'aetx schemas'"
        raise InputError([Problem(str(output / one), "schema", "another text", "the code's", fix) for one in stale])
    for one in [] if check_only else stale:
        (output / one).parent.mkdir(parents=True, exist_ok=True)
        (output / one).write_text(texts[one], encoding="utf-8")
    words = f"{len(texts)} schemas in {output}, {len(stale)} of them new"
    console.show(
        as_json, lambda: {"schemas": {"folder": str(output), "files": list(texts), "written": stale}}, lambda: [words]
    )


@app.command(short_help="Draw a result as PNG files.")
def show(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="a finished result, such as out/results/atoms.zarr")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="folder for the pictures [default: STORE-pictures]"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw a result: one PNG for each picture that its kind has."""
    from aetx.draw import draw
    from aetx.model import kind_of
    from aetx.store import damage_in_words, open_store

    dataset = open_store(store)
    folder = (
        output if output is not None else Path(f"{Path(os.path.realpath(store)).name.removesuffix('.zarr')}-pictures")
    )
    files = []
    with damage_in_words(lambda: [store]):
        for picture in draw(dataset):
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{picture.name}.png"
            picture.figure.savefig(file, dpi=150)
            files.append({"file": str(file), "title": picture.title, "caption": picture.caption})
    kind = kind_of(dataset).name
    sizes = {str(name): size for name, size in dataset.sizes.items()}
    head = f"{store}: {kind}, " + ", ".join(f"{name} {size}" for name, size in sizes.items())
    console.show(
        as_json,
        lambda: {"show": {"store": str(store), "kind": kind, "sizes": sizes, "pictures": files}},
        lambda: [head, *(f"{one['file']}: {one['title']}" for one in files)],
    )


@app.command(short_help="Compare atoms with the true ones.")
def score(
    atoms: Annotated[Path, typer.Argument(metavar="ATOMS", help="the atoms that were found: a file, or a result")],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="the true ones")],
    radius: Annotated[
        str | None, typer.Option(metavar="LENGTH", help="farthest distance of a pair [default: 1.5 angstrom]")
    ] = None,
    align: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="fitted first: none, translation, rigid, scale, affine [default: none]"),
    ] = None,
    element: Annotated[
        str | None, typer.Option(metavar="SYMBOL", help="element of all atoms, where a file does not say it")
    ] = None,
    units: Annotated[
        str | None, typer.Option(metavar="UNIT", help="unit of the positions, where a file does not say it")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare atoms with the true ones: how many are in common, missed and false, and how far off, with 95 % bounds.

    The stage measure.compare without a recipe; 'aetx stages measure.compare' says how it counts.
    """
    from aetx.run.score import score_files

    said = {name: text for name, text in (("radius", radius), ("align", align)) if text is not None}
    stated = {name: text for name, text in (("species", element), ("units", units)) if text is not None}
    told = score_files(atoms, truth, said, stated)
    console.show(as_json, told.as_dict, told.lines)


@app.command(short_help="Read finished results again and compare.")
def verify(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="a result, or the output folder of a run")],
    again: Annotated[bool, typer.Option("--all", help="read everything, also what has not been touched since")] = False,
    as_json: Json = False,
) -> None:
    """Read finished results and their inputs again; name everything that is missing or changed.

    Files that an earlier check read and found right are passed over if nothing has touched them since; --all reads
    them, too, as only that finds what a disk has changed by itself. A check that is stopped goes on where it was.
    """
    from aetx.run import verify_output

    found = verify_output(path, again=again, quiet=as_json)
    if found:
        raise InputError(found, f"{path} is not as it was written")
    console.show(as_json, found.as_dict, found.lines)


@app.command(short_help="Say what a run is doing, or how it ended.")
def status(output: OutputFolder, as_json: Json = False) -> None:
    """Say what the run in an output folder is doing, or how it ended: who runs it, which step, what is finished."""
    from aetx.run import status_of

    told = status_of(output)
    console.show(as_json, told.as_dict, told.lines)


@app.command(short_help="Remove what no run needs any more.")
def clean(
    output: OutputFolder,
    dry: Annotated[bool, typer.Option("--dry-run", help="list it with its sizes, remove nothing")] = False,
    results: Annotated[bool, typer.Option("--results", help="remove all results; exports and reports stay")] = False,
    others: Annotated[
        bool, typer.Option("--others", help="also results of inputs and sweeps that the last run did not have")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove what no run needs any more: litter of runs that died, results that the last run did not use.

    Only what a manifest says that aetx made is removed. Not while a run writes there, and never through a link.
    """
    from aetx.run.clean import clean as cleaned

    told = cleaned(output, dry=dry, results=results, others=others)
    console.show(as_json, told.as_dict, told.lines)


@app.command(short_help="Say whether this machine is fit for a run.")
def doctor(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="where results will go: its disk is tried")
    ] = Path(),
    as_json: Json = False,
) -> None:
    """Say whether this machine is fit for a run: libraries, cores, memory, GPU, disk, locks, caches, limits.

    Writes and reads 128 MB in the folder and leaves nothing there. Exit code 4 if something has to be mended.
    """
    from aetx.run.doctor import diagnose

    told = diagnose(folder)
    console.show(as_json, told.as_dict, told.lines)
    if told.code:
        raise typer.Exit(told.code)


@app.command("plan-experiment", short_help="Say how well atoms could be known from a plan.")
def plan_experiment(
    specimen: Annotated[Path, typer.Argument(metavar="SPECIMEN", help="atoms: a file, or a finished result")],
    dose: Annotated[str, typer.Option(metavar="DOSE", help="dose of the whole series")] = "1.6e5 e/angstrom^2",
    tilts: Annotated[str, typer.Option(metavar="NUMBER", help="number of images, at even steps")] = "21",
    most: Annotated[str, typer.Option("--range", metavar="ANGLE", help="greatest tilt to both sides")] = "70 degree",
    pixel_size: Annotated[str, typer.Option(metavar="LENGTH", help="edge of a pixel")] = "0.358 angstrom",
    width: Annotated[
        str, typer.Option(metavar="LENGTH", help="Gaussian deviation that blurs an atom: probe, source, vibration")
    ] = "0.45 angstrom",
    energy: Annotated[str, typer.Option(metavar="ENERGY", help="kinetic energy of the electrons")] = "300 keV",
    profile: Annotated[
        str, typer.Option(metavar="NAME", help="kirkland (scattering factor, blurred) or gaussian")
    ] = "kirkland",
    element: Annotated[
        str | None, typer.Option(metavar="SYMBOL", help="element of all atoms, where the file does not say it")
    ] = None,
    units: Annotated[
        str | None, typer.Option(metavar="UNIT", help="unit of the positions, where the file does not say it")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="folder for the pictures [default: SPECIMEN-plan]"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say how well the atoms of a specimen could be known from a tilt series, and what more would buy.

    The Cramer-Rao bound of the plan and of its neighbours: half, twice and four times the dose, half and twice as many
    images, ten degrees more and less tilt. Angles and shifts of the images are unknown, too.
    """
    from aetx.run.experiment import plan_experiment as planned

    said = {
        "dose": dose,
        "tilts": tilts,
        "range": most,
        "pixel_size": pixel_size,
        "width": width,
        "energy": energy,
        "profile": profile,
    }
    folder = output if output is not None else Path(f"{Path(os.path.realpath(specimen)).stem}-plan")
    stated = {name: text for name, text in (("species", element), ("units", units)) if text is not None}
    told = planned(specimen, said, stated=stated, output=folder)
    console.show(as_json, told.as_dict, told.lines)


@app.command(short_help="Run a benchmark, or list them.")
def bench(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="a benchmark, such as accuracy-linear")] = None,
    particles: Annotated[
        int | None, typer.Option(min=1, max=100_000, metavar="N", help="particles of each case [default: a few]")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=10**6, metavar="S", help="particle i of a seed is always the same")
    ] = 0,
    cases: Annotated[
        list[str] | None, typer.Option("--case", metavar="CASE", help="only this case; may be given again")
    ] = None,
    sets: Sets = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="DIR", help="folder for results [default: out/bench/NAME]")
    ] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Run a benchmark: particles with known truth, beside the physical limit and published numbers.

    Particles that are finished in the output folder are kept. Without a name, list the benchmarks and their cases.
    """
    from aetx.bench._benchmark import benchmark_names, find

    if name is None:
        found = [find(one) for one in benchmark_names()]
        console.show(as_json, lambda: {"benchmarks": [one.as_dict() for one in found]}, lambda: _benchmark_lines(found))
        return
    chosen, values = find(name), _values(sets)
    from aetx.bench._session import run_benchmark

    done = run_benchmark(
        chosen,
        output=Path(output) if output is not None else Path("out", "bench", name),
        cases=cases or (),
        particles=particles,
        seed=seed,
        sets=values,
        device=device or "cpu",
        say=console.note,
    )
    console.show(as_json, done.as_dict, done.lines)
    for failure in done.failures:
        console.note("\n".join(failure.lines()))
    if done.code:
        raise typer.Exit(done.code)


@app.command(short_help="Train a network, its weights and their card.")
def train(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="the training file, YAML")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="folder for results [default: out/train/FILE]"),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="folder of the pairs, which trainings may share [default: DIR/pairs]"),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, metavar="N", help="threads of the network [default: all cores]")
    ] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Train a network: pairs of volumes and atoms from recipes, weights, their card and a report in the output folder.

    Finished pairs are kept, and so is the state of a training that is stopped: the same command goes on from there.
    """
    from aetx.train import load as load_training
    from aetx.train import train as trained

    done = trained(
        load_training(file),
        output=output if output is not None else Path("out", "train", file.stem),
        pairs=pairs,
        threads=threads,
        device=device or "cpu",
        quiet=as_json,
        say=console.note,
    )
    console.show(as_json, done.as_dict, done.lines)


def _benchmark_lines(found: Sequence[Benchmark]) -> list[str]:
    width = max(len(case.name) for one in found for case in one.cases)
    lines = []
    for one in found:
        lines += [f"{one.name}: {one.summary}", *(f"  {case.name:{width}}  {case.summary}" for case in one.cases)]
    return lines


def _load(
    recipe: Path,
    sets: Sequence[str] | None,
    plugins: Sequence[str] | None,
    output: str | None,
    memory: str | None,
    scheduler: str | None,
    device: str | None,
) -> Plan:
    values = _values(sets)
    from aetx.recipe.findings import Findings
    from aetx.recipe.text import read

    read(recipe, Findings(str(recipe)))  # broken text is told before xarray and dask are imported
    from aetx.recipe import load

    return load(
        recipe,
        sets=values,
        plugins=frozenset(plugins or ()),
        output=output,
        memory=memory,
        scheduler=scheduler,
        device=device,
    )


def _values(sets: Sequence[str] | None) -> dict[str, str]:
    values: dict[str, str] = {}
    for text in sets or ():
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise RecipeError(Problem("command line", "--set", repr(text), "NAME=VALUE", "write e.g. --set dose=3"))
        values[name.strip()] = value
    return values


def _registry(plugins: Sequence[str] | None) -> Registry:
    from aetx.core.registry import Registry

    registry = Registry(frozenset(plugins or ()))
    missing = registry.missing_plugins()
    if missing:
        problems = [
            Problem("command line", "--plugin", repr(one), "an installed package", f"pip install {one}")
            for one in missing
        ]
        raise RecipeError(problems)
    return registry


def _summary(plan: Plan) -> dict[str, Any]:
    return {
        "recipe": str(plan.path),
        "title": plan.title,
        "output": str(plan.settings.output),
        "jobs": [
            {
                "name": job.name,
                "inputs": {one.name: [str(path) for path in one.paths] for one in job.inputs},
                "steps": {one.name: one.stage.name for one in job.steps},
            }
            for job in plan.jobs
        ],
    }


def _summary_lines(plan: Plan) -> list[str]:
    steps = sum(len(job.steps) for job in plan.jobs)
    files = sum(len(one.paths) for job in plan.jobs for one in job.inputs)
    counts = ", ".join((_count(len(plan.jobs), "run"), _count(steps, "step"), _count(files, "input file")))
    return [f"{plan.path} can be run: {counts}; results go to {plan.settings.output}"]


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")


def _stage_lines(one: Description) -> list[str]:
    takes = ", ".join(f"{name} ({kind})" for name, kind in one["takes"].items()) or "nothing"
    lines = [f"{one['name']}, version {one['version']}", f"  {one['summary']}", ""]
    lines += [f"  {line}".rstrip() for line in one["text"].splitlines()] + ([""] if one["text"] else [])
    lines += [f"takes  {takes}", f"gives  {one['gives']}"]
    if one["resources"]:
        lines.append(f"heeds  {', '.join('--' + name for name in one['resources'])}")
    if not one["parameters"]:
        return [*lines, "", "no parameters"]
    cells = [
        (
            each["name"],
            each["type"],
            each["default"],
            " ".join(filter(None, (each["bounds"], each["bounds"] and each["unit"]))),
        )
        for each in one["parameters"]
    ]
    heads = ("parameter", "type", "default", "bounds")
    widths = [max(len(row[i]) for row in (heads, *cells)) for i in range(4)]
    lines += ["", "  ".join(head.ljust(width) for head, width in zip(heads, widths, strict=True)).rstrip()]
    for row, each in zip(cells, one["parameters"], strict=True):
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        lines.append(f"    {each['description']}")
    return lines


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def execute(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code: 0, 2 recipe, 3 input, 4 machine, 5 busy, 70 bug, 130 interrupted."""
    as_json = "--json" in arguments
    command = typer.main.get_command(app)
    with warnings.catch_warnings():
        warnings.showwarning = console.show_warning
        try:
            with command.make_context("aetx", list(arguments) or ["--help"]) as context:
                command.invoke(context)
            sys.stdout.flush()
            return 0
        except typer.Exit as error:
            return int(error.exit_code)
        except BrokenPipeError:
            sys.stderr.close()
            return 0
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last door
            return console.end(error, as_json)


def main() -> None:
    """Run the command line and exit."""
    from aetx.run import limit_threads

    limit_threads()  # before anything imports numpy
    console.heed()
    console.leave(execute(sys.argv[1:]))
