"""The bad recipes of the reliability contract, as the command line answers them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from aetx.cli import execute

HEAD = b"aetx: 1\n"
STEP = b"steps: [{name: a, stage: simulate.particle}]\n"
BOMB = b"\n".join(
    [b"a0: &a0 [x]"] + [b"a%d: &a%d [%s]" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 10)) for i in range(1, 10)]
)
INPUT = HEAD + b"inputs: {s: {path: '%s', kind: atoms}}\nsteps: [{name: a, stage: simulate.images, from: s}]\n"

ROWS: dict[str, tuple[bytes, str]] = {
    "tag": (HEAD + b"title: !!python/object/apply:os.system [touch CANARY]\n" + STEP, "tags are not allowed"),
    "alias bomb": (BOMB, "aliases are not allowed"),
    "alias to itself": (b"a: &a [*a]\n", "aliases are not allowed"),
    "deep": (b"a: " + b"[" * 100_000, "at most 50 levels"),
    "key twice": (HEAD + b"title: a\ntitle: b\n" + STEP, "each key once"),
    "Latin-1": (HEAD + b"title: \xb5m\n" + STEP, "UTF-8"),
    "UTF-16": ((HEAD + STEP).decode().encode("utf-16"), "UTF-8"),
    "tab": (HEAD + b"steps:\n\t- {}\n", "YAML 1.2"),
    "misspelled": (HEAD + b"steps: [{name: a, stage: simulate.particle, params: {elemnt: Pt}}]\n", "a known parameter"),
    "circle": (
        HEAD + b"steps: [{name: a, stage: simulate.images, from: b}, {name: b, stage: simulate.images, from: a}]\n",
        "steps that do not wait for each other",
    ),
    "one name twice": (HEAD + STEP[:-2] + b", {name: a, stage: simulate.particle}]\n", "a name of its own"),
    "output leaves": (HEAD + b"run: {output: ../../etc/aetx}\n" + STEP, "leaves the run folder"),
    "network": (INPUT % b"http://169.254.169.254/latest/meta-data", "network inputs are off"),
    "chained": (INPUT % b"simplecache::reference://refs.json", "network inputs are off"),
    "empty": (b"", "a mapping of keys to values"),
    "comments": (b"# a\n# b\n", "a mapping of keys to values"),
    "list": (b"- a\n", "a mapping of keys to values"),
    "nan": (HEAD + b"steps: [{name: a, stage: simulate.particle, params: {vacancies: .nan}}]\n", "a finite number"),
    "negative": (HEAD + b"steps: [{name: a, stage: simulate.particle, params: {seed: -3}}]\n", "greater than"),
    "memory": (HEAD + b"run: {memory: lots}\n" + STEP, "a size with a unit"),
    "home": (HEAD + b"run: {output: '${HOME}/x'}\n" + STEP, "a name under vars:"),
    "other home": (HEAD + b"run: {output: '~root/x'}\n" + STEP, "a path written out"),
    "long name": (HEAD + b"run: {output: %s}\n" % (b"a" * 300) + STEP, "at most 255 bytes"),
}

FINE: dict[str, bytes] = {
    "plain": HEAD + STEP,
    "mark and carriage returns": b"\xef\xbb\xbf" + (HEAD + STEP).replace(b"\n", b"\r\n"),
    "small number": HEAD + b"steps: [{name: a, stage: simulate.particle, params: {vacancies: 1e-10}}]\n",
    "markup in the title": HEAD + b"title: '<img src=x onerror=alert(1)>'\n" + STEP,
    "template in the title": HEAD + b"title: \"{{ x.__init__.__globals__.os.system('touch CANARY') }}\"\n" + STEP,
    "shell in the output": HEAD + b"run: {output: '$(touch CANARY)'}\n" + STEP,
}


@pytest.mark.parametrize("row", ROWS)
def test_a_bad_recipe_is_refused_in_words(
    row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content, wanted = ROWS[row]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_bytes(content)
    for command in ("check", "run"):
        start = time.process_time()
        assert execute([command, "r.yaml", "--json"]) == 2
        assert time.process_time() - start < 3
        heard = capsys.readouterr()
        assert "Traceback" not in heard.err
        problems = json.loads(heard.out)["error"]["problems"]
        assert wanted in problems[0]["wanted"]
        for one in problems:
            assert one["file"] == "r.yaml"
            assert one["line"] >= 1
            assert one["column"] >= 1
            assert all(one[key] for key in ("field", "found", "wanted", "fix"))
    assert [path.name for path in tmp_path.rglob("*")] == ["r.yaml"]


@pytest.mark.parametrize("row", FINE)
def test_a_good_recipe_is_not(row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_bytes(FINE[row])
    assert execute(["check", "r.yaml"]) == 0
    assert [path.name for path in tmp_path.rglob("*")] == ["r.yaml"]
