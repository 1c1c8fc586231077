"""The command line: what it prints, and what it exits with."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import aetx
from aetx import cli
from aetx.cli import execute
from aetx.errors import BusyError, EnvironmentFault, InputError, Problem

WORK = ("run", "check", "plan", "train", "bench", "plan-experiment")
LOOK = ("stages", "schemas", "show", "score", "verify", "status", "clean", "doctor")
COMMANDS = WORK + LOOK
TOY = Path(__file__).parent / "toy"
SEED = "aetx: 1\ntitle: one step\nsteps:\n  - {name: particle, stage: simulate.particle, params: {smallest: %s}}\n"


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text(SEED % "50 angstrom")
    (tmp_path / "bad.yaml").write_text(SEED % "50")
    return tmp_path


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return the one JSON object on standard output."""
    return json.loads(capsys.readouterr().out)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["--help"]) == 0
    text = capsys.readouterr().out
    assert execute([]) == 0
    assert capsys.readouterr().out == text
    commands = [
        "run",
        "check",
        "plan",
        "stages",
        "schemas",
        "show",
        "score",
        "verify",
        "status",
        "clean",
        "doctor",
        "plan-experiment",
        "bench",
        "train",
    ]
    for name in commands:
        assert f"  {name} " in text
        assert execute([name, "--help"]) == 0
        assert "--json" in capsys.readouterr().out
    assert execute(["--version"]) == 0
    assert capsys.readouterr().out.strip() == aetx.__version__


def test_help_answers_at_once(tmp_path: Path) -> None:
    program = "import sys; from aetx.cli import execute; execute(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "typer" in loaded
    heavy = {"numpy", "xarray", "dask", "torch", "zarr", "pydantic", "matplotlib", "distributed", "psutil"}
    assert loaded & heavy == set()


@pytest.mark.usefixtures("recipe")
def test_check_says_what_would_run(capsys: pytest.CaptureFixture[str], recipe: Path) -> None:
    assert execute(["check", "good.yaml"]) == 0
    assert capsys.readouterr().out == (
        f"good.yaml can be run: 1 run, 1 step, 0 input files; results go to {recipe / 'out' / 'good'}\n"
    )
    assert execute(["check", "good.yaml", "--json", "-o", "x"]) == 0
    found = told(capsys)["check"]
    assert found["output"] == str(recipe / "x")
    assert found["jobs"] == [{"name": "", "inputs": {}, "steps": {"particle": "simulate.particle"}}]
    assert found["warnings"] == []
    assert sorted(path.name for path in recipe.iterdir()) == ["bad.yaml", "good.yaml"]


@pytest.mark.usefixtures("recipe")
def test_a_mistake_is_text_or_one_object_with_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["check", "bad.yaml"]) == 2
    heard = capsys.readouterr()
    assert heard.out == ""
    assert heard.err == (
        "bad.yaml cannot be run\n"
        "bad.yaml:4:67: steps[0].params.smallest: found 50, wanted a number with its unit; write e.g. '50 angstrom'\n"
    )
    for command in ("check", "run", "plan"):
        assert execute([command, "bad.yaml", "--json"]) == 2
        assert told(capsys) == {
            "error": {
                "code": 2,
                "heading": "bad.yaml cannot be run",
                "problems": [
                    {
                        "file": "bad.yaml",
                        "field": "steps[0].params.smallest",
                        "found": "50",
                        "wanted": "a number with its unit",
                        "fix": "write e.g. '50 angstrom'",
                        "line": 4,
                        "column": 67,
                    }
                ],
            }
        }


@pytest.mark.usefixtures("recipe")
def test_set_reaches_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["check", "bad.yaml", "--set", "steps.particle.params.smallest=5 nm"]) == 0
    capsys.readouterr()
    assert execute(["check", "bad.yaml", "--set", "smallest"]) == 2
    assert "wanted NAME=VALUE" in capsys.readouterr().err
    assert execute(["check", "good.yaml", "--set", "smallest=3", "--memory", "lots", "--device", "x", "--json"]) == 2
    assert [one["field"] for one in told(capsys)["error"]["problems"]] == ["--set smallest", "--memory", "--device"]


@pytest.mark.usefixtures("recipe")
def test_warnings_are_told_and_do_not_fail(capsys: pytest.CaptureFixture[str], recipe: Path) -> None:
    (recipe / "w.yaml").write_text("vars: {n: 1}\n" + SEED % "50 angstrom")
    assert execute(["check", "w.yaml"]) == 0
    assert capsys.readouterr().err == "warning: w.yaml:1:8: vars.n is not used\n"
    assert execute(["check", "w.yaml", "--json"]) == 0
    heard = capsys.readouterr()
    assert json.loads(heard.out)["check"]["warnings"] == ["w.yaml:1:8: vars.n is not used"]
    assert heard.err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chek"], "No such command 'chek'"),
        (["check"], "Missing argument 'RECIPE'"),
        (["check", "x.yaml", "--jsn"], "No such option: --jsn"),
        (["check", "a.yaml", "b.yaml"], "unexpected extra argument"),
    ],
)
def test_a_wrong_command_line_is_told_with_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert execute(arguments) == 2
    assert words in capsys.readouterr().err
    assert execute([*arguments, "--json"]) == 2
    (problem,) = told(capsys)["error"]["problems"]
    assert words in problem["wanted"]
    assert problem["file"] == "command line"


def test_stages_are_listed_with_what_they_give(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["stages"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == sorted(lines)
    assert any(line.startswith("simulate.particle ") and len(line.split(maxsplit=1)[1]) > 10 for line in lines)
    assert not any(line.startswith("toy.") for line in lines)


def test_stages_of_a_package_are_listed_when_it_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(TOY))
    assert execute(["stages", "--plugin", "aetx-toy"]) == 0
    (line,) = [one for one in capsys.readouterr().out.splitlines() if one.startswith("toy.solve ")]
    assert line.split(maxsplit=1)[1] == "A volume from images."
    assert execute(["stages", "toy.solve", "--plugin", "aetx-toy"]) == 0
    text = capsys.readouterr().out
    for words in (
        "toy.solve, version 3\n  A volume from images.\n",
        "With a formula and its reference, doi:10.0000/toy.",
        "takes  series (tilt_series)\ngives  volume\nheeds  --device\n",
        "parameter   type",
        "width       number with unit",
        "2 angstrom",
        "> 0, <= 50 angstrom",
        "    width of the filter\n",
    ):
        assert words in text
    assert execute(["stages", "toy.solve", "--plugin", "aetx-toy", "--json"]) == 0
    found = told(capsys)["stage"]
    assert found["takes"] == {"series": "tilt_series"}
    assert found["parameters"][1] == {
        "name": "width",
        "type": "number with unit",
        "default": "2 angstrom",
        "bounds": "> 0, <= 50",
        "unit": "angstrom",
        "description": "width of the filter",
    }
    assert execute(["stages", "toy.solve"]) == 2
    assert execute(["stages", "--plugin", "aetx-tyo"]) == 2
    assert "pip install aetx-tyo" in capsys.readouterr().err


def test_schemas_are_written_and_checked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = str(tmp_path / "s")
    assert execute(["schemas", "--check", "-o", folder]) == 3
    assert "run 'aetx schemas'" in capsys.readouterr().err
    assert execute(["schemas", "-o", folder]) == 0
    assert execute(["schemas", "--check", "-o", folder]) == 0
    capsys.readouterr()
    (tmp_path / "s" / "recipe.schema.json").write_text("{}")
    assert execute(["schemas", "--check", "-o", folder, "--json"]) == 3
    assert len(told(capsys)["error"]["problems"]) == 1
    assert execute(["schemas", "-o", folder, "--json"]) == 0
    assert told(capsys)["schemas"]["written"] == ["recipe.schema.json"]


PROBLEM = Problem("a.mrc", "nx", "0", "a size", "mend it")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError(PROBLEM), 3),
        (EnvironmentFault(PROBLEM), 4),
        (OSError(errno.ENOSPC, "No space left on device", "x"), 4),
        (OSError(errno.EROFS, "Read-only file system", "x"), 4),
        (BusyError(PROBLEM), 5),
        (ZeroDivisionError("division by zero"), 70),
        (OSError(errno.EBADF, "Bad file descriptor"), 70),
        (KeyboardInterrupt(), 130),
        (type("Stopped", (KeyboardInterrupt,), {"code": 143})("stopped by SIGTERM"), 143),
    ],
)
def test_every_ending_has_its_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "_load", fail)
    assert execute(["check", "x.yaml", "--json"]) == code
    heard = capsys.readouterr()
    assert json.loads(heard.out)["error"]["code"] == code
    assert ("Traceback" in heard.err) == (code == 70)
    assert ("Please report it" in heard.err) == (code == 70)
    assert execute(["check", "x.yaml"]) == code
    assert capsys.readouterr().out == ""


def test_python_m_aetx_is_aetx(recipe: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "aetx", "check", "bad.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "bad.yaml:4:67" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "start", [["-m", "aetx"], ["-c", "import sys; del sys.path[0]; from aetx.cli import main; main()"]]
)
def test_modules_in_the_current_folder_are_not_run(recipe: Path, start: list[str]) -> None:
    for name in ("numpy", "typer", "yaml", "xarray", "toy", "sitecustomize"):
        (recipe / f"{name}.py").write_text("open('CANARY', 'w').close()\nraise SystemExit\n")
    done = subprocess.run([sys.executable, *start, "check", "good.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "can be run" in done.stdout
    assert not (recipe / "CANARY").exists()


def test_a_closed_pipe_is_no_mistake(recipe: Path) -> None:
    program = f"{sys.executable} -m aetx stages --json | head -c 10"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.usefixtures("recipe")
def test_a_small_run_from_end_to_end(capsys: pytest.CaptureFixture[str], recipe: Path) -> None:
    (recipe / "r.yaml").write_text(SEED % "20 angstrom, largest: 20 angstrom" + "export: {particle: [extxyz]}\n")
    assert execute(["plan", "r.yaml", "--json"]) == 0
    (job,) = told(capsys)["plan"]
    assert [step["state"] for step in job["steps"]] == ["run", "run"]
    assert not (recipe / "out").exists()
    assert execute(["run", "r.yaml", "--json"]) == 0
    (record,) = told(capsys)["run"]
    assert record["status"] == "finished"
    assert [step["state"] for step in record["steps"]] == ["computed", "computed"]
    out = recipe / "out" / "r"
    assert (out / "exports" / "particle.extxyz").is_file()
    assert (out / "report.html").is_file()
    assert execute(["run", "r.yaml", "--json"]) == 0
    assert [step["state"] for step in told(capsys)["run"][0]["steps"]] == ["reused", "reused"]

    assert execute(["verify", "out/r", "--json"]) == 0
    assert told(capsys)["verify"]["sound"]
    store = out / "results" / "particle.zarr"
    assert execute(["show", str(store), "-o", "pictures", "--json"]) == 0
    found = told(capsys)["show"]
    assert found["kind"] == "atoms"
    assert found["pictures"]
    assert all(Path(one["file"]).read_bytes().startswith(b"\x89PNG") for one in found["pictures"])

    chunk = max(store.rglob("c/*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    assert execute(["verify", "out/r"]) == 3
    assert "is not as it was written" in capsys.readouterr().err
    assert execute(["show", str(store), "-o", "pictures", "--json"]) == 3
    (problem,) = told(capsys)["error"]["problems"]
    assert problem["field"] == chunk.relative_to(store).as_posix()


def test_what_is_no_result_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for command in ("show", "verify", "status"):
        assert execute([command, str(tmp_path), "--json"]) == 3
        (problem,) = told(capsys)["error"]["problems"]
        assert str(tmp_path) in problem["file"]
