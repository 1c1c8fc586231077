"""The page of a run holds everything, escapes everything, and is one file."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from aetx.core.record import FileRecord, InputRecord, RunRecord, StepRecord
from aetx.core.words import seconds, size
from aetx.model import ATOMS, SCORE
from aetx.report import headline, write_report, write_summary
from aetx.report.page import link
from aetx.report.shown import turning_atoms
from tests.report.made import LENGTH, ONE, atoms, record, results


class Parsed(HTMLParser):
    """Tags with their attributes, and the text between, as a browser reads them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    (folder / "exports").mkdir()
    (folder / "exports" / "atoms.extxyz").write_bytes(b"x" * 1500)
    return write_report(record(), results(), folder)


def test_the_page_holds_everything_that_the_record_says(page: Path) -> None:
    assert page.name == "report.html"
    text = Parsed(page.read_text("utf-8")).text
    for words in (
        *(
            "A title",
            "took 1 min 5 s",
            "data/pt.mrc",
            "12.3 MB",
            "a1" * 32,
            "0.35 angstrom",
            "read by mrc",
            "two cores",
        ),
        *("export.cif", "7.5 Å", "empty space between the atoms", "no result with this key", "three tilts are dim"),
        *("Took 1 min 1 s (1 min 30 s of processor time)", "peak memory 500 MB", "forecast 700 MB", "b2" * 32),
        *("atoms.extxyz", "1.5 kB", "aetx run a.yaml", "title: A title", "Slices in three directions", "0.123 Å"),
        *("Atoms in 3D", "1 GB", "22", "gone.away"),
    ):
        assert words in text, words


def test_every_picture_is_in_the_page_and_in_the_folder(page: Path) -> None:
    tags = Parsed(page.read_text("utf-8")).tags
    images = [attributes for tag, attributes in tags if tag == "img"]
    assert len(images) == len(list((page.parent / "figures").iterdir())) == 3 + 4 + 5 + 1
    assert all(str(one["src"]).startswith("data:image/png;base64,") and one["alt"] for one in images)
    assert (page.parent / "figures" / "volume-slices.png").read_bytes()[:4] == b"\x89PNG"
    for tag, attributes in tags:
        if tag == "a" and not str(attributes["href"]).startswith(("#", "./exports")):
            assert (page.parent / str(attributes["href"])).is_file()


def test_the_report_list_of_the_recipe_chooses_what_is_drawn(tmp_path: Path) -> None:
    tiles = {"score": results()["score"], "tile/20": results()["score"]}
    write_report(record(report=["tile"]), tiles, tmp_path)
    assert {one.name.partition("-")[0] for one in (tmp_path / "figures").iterdir()} == {"tile"}


def test_nothing_is_fetched_and_only_the_own_script_may_run(page: Path) -> None:
    tags = Parsed(page.read_text("utf-8")).tags
    policy = next(a["content"] for tag, a in tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy")
    assert str(policy).startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in str(policy)
    assert [tag for tag, _ in tags].count("script") == 1
    sources = [a[name] for _, a in tags for name in ("src", "href", "srcset", "data", "action") if a.get(name)]
    assert all(re.match(r"data:|#|\./", str(one)) for one in sources), sources
    assert not [name for _, a in tags for name in a if name.startswith("on") or name == "style"]


@pytest.mark.parametrize("status", ["failed", "stopped", "running"])
def test_a_run_that_did_not_finish_says_so_and_why(tmp_path: Path, status: str) -> None:
    page = write_report(record(status=status, error="volume: the disk is full"), {}, tmp_path)
    text = Parsed(page.read_text("utf-8")).text
    assert {"failed": "This run failed", "stopped": "was stopped", "running": "had not finished"}[status] in text
    assert "volume: the disk is full" in text


PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    '" autofocus onfocus="alert(1)',
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</pre><iframe src=javascript:alert(1)>",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "{{ cycler.__init__.__globals__.os.system('touch CANARY') }}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{% endfor %}",
    "<!--<script>alert(1)//-->",
    "<a href='javascript:alert(1)'>x</a>",
    "<math><mtext></mtext><script>alert(1)</script></math>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<body onload=alert(1)>",
    "\u2028<object data=x>",
    "<meta http-equiv=refresh content=0;url=http://x>",
]


def poisoned(text: str) -> RunRecord:
    """Put a text into every place of a record that a recipe, a file or a machine can fill."""
    file = FileRecord(path=text, bytes=1, sha256=text)
    both = {text: text}
    step = StepRecord(
        name=text,
        stage=text,
        version=1,
        sources={text: [text]},
        params={text: text},
        state="computed",
        reason=text,
        key=text,
        store=text,
        seconds=1.0,
        warnings=[text],
    )
    given = InputRecord(name=text, kind=text, reader=text, files=[file], stated=both, facts=both)
    changes: dict[str, Any] = {
        **dict.fromkeys(("title", "name", "started", "error", "recipe", "recipe_path", "recipe_sha256"), text),
        **dict.fromkeys(("versions", "machine", "settings", "variables"), both),
        "status": "failed",
        "inputs": [given],
        "steps": [step],
        "exports": [text],
        "command": [text],
    }
    return record(**changes)


def poisoned_results(texts: list[str]) -> dict[str, xr.Dataset]:
    """Put texts into the names of datasets, variables, columns and labels."""
    named = {f"{i} {text}": ((), 1.0, {**ONE, "long_name": text}) for i, text in enumerate(texts)}
    score = xr.Dataset({**named, "list": ("what", np.arange(float(len(texts))), ONE)}, {"what": texts})
    columns = atoms().assign({text: ("atom", np.arange(40.0), ONE) for text in texts})
    return {texts[0]: SCORE.stamp(score), texts[1]: ATOMS.stamp(columns)}


def skeleton(page: Path) -> list[tuple[str, list[str]]]:
    return [(tag, sorted(attributes)) for tag, attributes in Parsed(page.read_text("utf-8")).tags]


@pytest.mark.parametrize("text", PAYLOADS)
def test_no_text_of_a_record_becomes_a_tag_an_attribute_or_a_template(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = write_report(poisoned(text), {}, tmp_path / "bad")
    assert skeleton(page) == skeleton(write_report(poisoned("plain"), {}, tmp_path / "plain"))
    assert text in Parsed(page.read_text("utf-8")).text
    assert not list(tmp_path.rglob("CANARY"))
    links = [str(a["href"]) for tag, a in Parsed(page.read_text("utf-8")).tags if tag == "a"]
    assert all(one.startswith(("#", "./")) for one in links)
    summary = write_summary([poisoned(text)], tmp_path / "bad")
    assert skeleton(summary) == skeleton(write_summary([poisoned("plain")], tmp_path / "plain"))


def test_no_name_in_a_dataset_becomes_a_tag_an_attribute_or_a_file_elsewhere(tmp_path: Path) -> None:
    texts = [*PAYLOADS, "../../up", "/abs"]
    pages = []
    for names, folder in ((texts, "bad"), ([f"plain {i}" for i in range(len(texts))], "plain")):
        given = poisoned_results(names)
        steps = [StepRecord(name=name, stage="x.y", version=1, sources={}, params={}) for name in given]
        pages.append(write_report(record(steps=steps), given, tmp_path / folder))
    assert skeleton(pages[0]) == skeleton(pages[1])
    assert {one.parent for one in tmp_path.rglob("*.png")} == {one.parent / "figures" for one in pages}
    found = [str(a["data-atoms"]) for _, a in Parsed(pages[0].read_text("utf-8")).tags if "data-atoms" in a]
    assert json.loads(found[0])["channels"][4]["name"] in [text.replace("_", " ") for text in texts]


def test_headline_numbers_come_from_the_atoms_step_and_the_last_score() -> None:
    found = headline(record(), results())
    assert found == pytest.approx(
        {"atoms": 40, "sigma": 0.05, "r1": 0.25, "rmsd": 0.123, "score.rmsd (angstrom)": 0.123}
    )
    assert headline(record(), {"volume": results()["volume"]}) == {"r1": 0.5}
    assert headline(record(), {}) == {}


def test_r_of_refined_atoms_counts_more_than_that_of_a_volume() -> None:
    by_tilt = {"r1": ("tilt", np.array([0.1, 0.3])), "r_free": ("tilt", np.array([np.nan, 0.24]))}
    one = {name: (*values, {"units": "1"}) for name, values in by_tilt.items()}
    made = results()
    given = {"volume": made["volume"], "atoms": made["atoms"].assign(one)}
    found = headline(record(), given)
    assert (found["r1"], found["r_free"]) == pytest.approx((0.2, 0.24))


def test_the_headline_of_a_list_is_the_mean_of_its_members() -> None:
    score = results()["score"]
    given = {f"fit/{i}": xr.Dataset({"mean_r1": ((), 0.1 * i, {"units": "1"})}, attrs=score.attrs) for i in (1, 2)}
    steps = [StepRecord(name=name, stage="x.y", version=1, sources={}, params={}) for name in given]
    assert headline(record(steps=steps), given)["r1"] == pytest.approx(0.15)


def test_parameters_are_folded_under_those_that_were_stated(tmp_path: Path) -> None:
    params = [{"width": 1.0}, {"width": 0.3}]
    steps = [
        StepRecord(name=f"tile/{i}", stage="augment.gaussian", version=1, sources={}, params=one)
        for i, one in enumerate(params)
    ]
    page = write_report(record(steps=steps), {}, tmp_path).read_text("utf-8")
    assert page.count("<details><summary>Parameters: <code>width</code> 1 Å</summary>") == 1
    assert page.count("<details>") == 2


def test_the_page_notes_the_headline_in_the_record_for_the_summary(tmp_path: Path) -> None:
    one = record(name="a", report=["score"])
    write_report(one, results(), tmp_path / "a")
    assert repr(one.numbers["atoms"]) == "40"
    assert RunRecord.model_validate_json(one.model_dump_json()).numbers == one.numbers


def test_the_summary_has_a_row_for_each_job(tmp_path: Path) -> None:
    jobs = [
        record(name="area 20", numbers={"atoms": 40, "r1": 0.25, "score.matched": 39.0}),
        record(name="=cmd", status="failed", error="no disk\nmore", variables={"area": "-5"}),
    ]
    page = write_summary(jobs, tmp_path)
    text = Parsed(page.read_text("utf-8")).text
    for words in ("area 20", "0.2500", "failed", "no disk", "Mean R1", "score.matched", "39"):
        assert words in text
    assert "RMSD" not in text
    with (tmp_path / "summary.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["job"] for row in rows] == ["area 20", "'=cmd"]
    assert rows[0]["r1"] == "0.25"
    assert rows[0]["rmsd_angstrom"] == ""
    assert rows[1]["area"] == "-5"
    assert rows[0]["report"] == "./area%2020/report.html"


def test_an_export_is_a_row_of_its_own_table_with_what_was_left_out(tmp_path: Path) -> None:
    steps = record().steps
    steps[1] = steps[1].model_copy(update={"store": "exports/atoms.cif", "warnings": ["CIF has no place for width"]})
    page = write_report(record(steps=steps, exports=["exports/atoms.cif"]), {}, tmp_path).read_text("utf-8")
    assert re.findall(r'<h2 id="step-\d+">(\w+)', page) == ["volume", "score"]
    assert "CIF has no place for width" in page.partition('<h2 id="exports"')[2]
    assert "CIF has" not in page.partition('<h2 id="exports"')[0]


def test_writing_again_replaces_the_page_and_leaves_nothing_aside(tmp_path: Path) -> None:
    write_report(record(title="old"), {}, tmp_path)
    write_report(record(title="new"), {}, tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]
    assert "new" in (tmp_path / "report.html").read_text("utf-8")


def test_many_atoms_are_thinned_and_said_to_be() -> None:
    count = 100_500
    position = np.random.default_rng(0).uniform(-100, 100, (count, 3))
    many = xr.Dataset(
        {"position": (("atom", "axis"), position, LENGTH), "species": ("atom", np.zeros(count, np.int32), ONE)},
        {"atom": ("atom", np.arange(count), ONE), "axis": ["x", "y", "z"]},
    )
    made = turning_atoms(ATOMS.stamp(many))
    assert made is not None
    assert "100000 of 100500 atoms" in made.caption
    assert len(made.json) < 2_000_000


def test_no_atoms_give_no_view() -> None:
    assert turning_atoms(atoms(0)) is None


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2**32, "4.3 GB")])
def test_sizes_are_written_for_people(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.05, "0.05 s"), (12.34, "12.3 s"), (61, "1 min 1 s"), (7260, "2 h 1 min")]
)
def test_times_are_written_for_people(value: float, text: str) -> None:
    assert seconds(value) == text


def test_a_link_cannot_leave_for_another_scheme() -> None:
    assert link("javascript:alert(1)") == "./javascript%3Aalert%281%29"
