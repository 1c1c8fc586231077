"""The run: block, memory in words, the command line above it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from aetx.errors import Problem
from aetx.recipe import Plan, parse_memory
from aetx.recipe.plan import Slurm

SEED = "steps: [{name: a, stage: toy.seed}]\n"


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GB", 4 * 10**9), ("500 MiB", 500 * 2**20), ("1.5gib", 1.5 * 2**30), (" 20000 kB ", 2 * 10**7), ("1TB", 10**12)],
)
def test_memory_is_a_number_with_a_unit(text: str, size: float) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize(
    "text", ["lots", "-1", "-1GB", "2 G", "0", "0GB", "4", "", "GB", "1e9B", "inf GB", "nanGB", "4 GB 2", "1B"]
)
def test_nonsense_is_never_no_limit(text: str) -> None:
    with pytest.raises(ValueError, match=r"a size with a unit|at least 10 MB"):
        parse_memory(text)


@pytest.mark.parametrize("value", ["lots", "-1", "2 G", "0", "4", "true", "[4GB]", "''"])
def test_nonsense_in_a_recipe_or_option_is_a_mistake(mistake: Callable[..., Problem], value: str) -> None:
    found = mistake(f"run: {{memory: {value}}}\n" + SEED)
    assert (found.field, found.line, found.column) == ("run.memory", 2, 15)
    assert mistake(SEED, memory=value).field == "--memory"


def test_the_command_line_wins(read: Callable[..., Plan], tmp_path: Path) -> None:
    text = "vars: {m: 2GB}\nrun: {output: a, memory: '${vars.m}', scheduler: local, device: cuda:1}\n" + SEED
    settings = read(text).settings
    assert (settings.output, settings.memory) == (tmp_path / "a", 2 * 10**9)
    assert (settings.scheduler, settings.device) == ("local", "cuda:1")
    settings = read(text, output="/b", memory="3 GB", scheduler="tcp://127.0.0.1:8786", device="cpu").settings
    assert (settings.output, settings.memory) == (Path("/b"), 3 * 10**9)
    assert (settings.scheduler, settings.device) == ("tcp://127.0.0.1:8786", "cpu")
    settings = read(SEED).settings
    assert (settings.memory, settings.scheduler, settings.device) == (0, "threads", "cpu")


@pytest.mark.parametrize(
    ("key", "value", "fix"),
    [
        ("scheduler", "thread", "did you mean 'threads'?"),
        ("scheduler", "http://x:1", "known are"),
        ("device", "gpu", "name one of them"),
        ("device", "cuda:x", "name one of them"),
    ],
)
def test_an_unknown_scheduler_or_device_is_a_mistake(
    mistake: Callable[..., Problem], key: str, value: str, fix: str
) -> None:
    assert fix in mistake(f"run: {{{key}: '{value}'}}\n" + SEED).fix
    assert mistake(SEED, **{key: value}).field == f"--{key}"


def test_a_recipe_says_what_is_asked(read: Callable[..., Plan]) -> None:
    asked = "{jobs: 8, memory: 64 GB, walltime: 12:00:00, queue: gpu_4}"
    settings = read(f"run: {{scheduler: slurm, worker-timeout: 2 h, slurm: {asked}}}\n" + SEED).settings
    assert (settings.scheduler, settings.worker_timeout) == ("slurm", 7200)
    assert settings.slurm == Slurm(jobs=8, memory="64 GB", walltime="12:00:00", queue="gpu_4")
    assert read(SEED).settings.slurm == Slurm()


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("queue: 'a b'", "run.slurm.queue"),
        ('queue: "a\\n#SBATCH --wrap=x"', "run.slurm.queue"),
        ("account: '$(touch x)'", "run.slurm.account"),
        ("interface: 'lo; x'", "run.slurm.interface"),
        ("memory: lots", "run.slurm.memory"),
        ("memory: 8", "run.slurm.memory"),
        ("walltime: long", "run.slurm.walltime"),
        ("jobs: 0", "run.slurm.jobs"),
        ("cores: many", "run.slurm.cores"),
        ("qeue: x", "run.slurm.qeue"),
    ],
)
def test_nothing_else_reaches_a_job_script(mistake: Callable[..., Problem], text: str, field: str) -> None:
    assert mistake(f"run: {{slurm: {{{text}}}}}\n" + SEED).field == field


@pytest.mark.parametrize("text", ["5", "0 s", "soon", "-1 s", "1e9 h", "200 h", "[5 s]"])
def test_a_timeout_is_a_time_with_its_unit(mistake: Callable[..., Problem], text: str) -> None:
    assert mistake(f"run: {{worker-timeout: {text}}}\n" + SEED).field == "run.worker-timeout"
