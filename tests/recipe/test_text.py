"""The loader: plain data or a message with its place."""

import math
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import pytest

from aetx.errors import Problem, RecipeError
from aetx.recipe.findings import Findings
from aetx.recipe.text import LARGEST, MOST, parse, plain_data, read, resolve


def problems_of(content: bytes, folder: Path) -> list[Problem]:
    (folder / "r.yaml").write_bytes(content)
    findings = Findings("r.yaml")
    try:
        read(folder / "r.yaml", findings)
    except RecipeError as error:
        return list(error.problems)
    return list(findings.problems)


def tree_of(text: str) -> object:
    return plain_data(parse(text, Findings("r.yaml")))


def test_plain_values_are_those_of_yaml_1_2() -> None:
    text = "a: 1e-10\nb: 12:30\nc: NO\nd: on\ne: 0.5\nf: -3\ng: ~\nh: true\ni: 2026-11-21\nj: .inf\nk: 1_000\n"
    wanted = {"a": 1e-10, "b": "12:30", "c": "NO", "d": "on", "e": 0.5, "f": -3, "g": None, "h": True}
    assert tree_of(text) == wanted | {"i": "2026-11-21", "j": math.inf, "k": "1_000"}


def test_a_leading_zero_makes_no_number_of_another_base() -> None:
    assert resolve("010") == "010"
    assert resolve("0") == 0
    assert resolve("0.10") == 0.1
    assert resolve("9" * 4000) == "9" * 4000


def test_every_value_knows_where_it_and_its_key_stand() -> None:
    tree = parse("a:\n  - x\n  - {k:  3}\n", Findings("r.yaml"))
    assert isinstance(tree.value, Mapping)
    items = tree.value["a"].value
    assert isinstance(items, tuple)
    inner = items[1].value
    assert isinstance(inner, Mapping)
    assert (inner["k"].key.line, inner["k"].key.column) == (3, 6)
    assert (inner["k"].place.line, inner["k"].place.column) == (3, 10)


def test_a_byte_order_mark_and_carriage_returns_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(b"\xef\xbb\xbfa: 1\r\nb: [2, 3]\r\n")
    _, tree = read(tmp_path / "r.yaml", Findings("r.yaml"))
    assert plain_data(tree) == {"a": 1, "b": [2, 3]}
    assert isinstance(tree.value, Mapping)
    assert (tree.value["a"].key.line, tree.value["a"].key.column) == (1, 1)


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system [touch CANARY]", "!x 3", "!!str 3", "! 3", "!!set {a}"]
)
def test_tags_are_refused_and_nothing_is_made_of_them(tag: str, tmp_path: Path) -> None:
    (found,) = problems_of(f"aetx: 1\nstage: {tag}\n".encode(), tmp_path)
    assert "tags are not allowed" in found.wanted
    assert (found.line, found.column) == (2, 8)
    assert found.field == "stage"
    assert [path.name for path in tmp_path.iterdir()] == ["r.yaml"]


def test_aliases_and_anchors_are_refused_before_they_can_grow(tmp_path: Path) -> None:
    rows = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    tracemalloc.start()
    found = problems_of("\n".join(rows).encode(), tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len([one for one in found if "the alias" in one.found]) == 90
    assert all("aliases are not allowed" in one.wanted for one in found)
    assert peak < 10e6


def test_an_alias_to_itself_is_refused(tmp_path: Path) -> None:
    found = problems_of(b"a: &a [*a]\n", tmp_path)
    assert [one.found for one in found] == ["the anchor '&a'", "the alias '*a'"]


@pytest.mark.parametrize("text", ["a: " + "[" * 100_000, "a: " + "{a: " * 5000, "- " * 5000, "? " * 5000])
def test_deep_nesting_is_refused_at_once(text: str, tmp_path: Path) -> None:
    start = time.process_time()
    (found,) = problems_of(text.encode(), tmp_path)
    assert found.found == "nested deeper than 50"
    assert time.process_time() - start < 3


def test_fifty_levels_are_not_too_deep() -> None:
    text = "a: " + "[" * 49 + "]" * 49
    assert tree_of(text)


def test_a_key_given_twice_names_both_lines(tmp_path: Path) -> None:
    (found,) = problems_of(b"p:\n  threshold: 0.1\n  other: 2\n  threshold: 0.9\n", tmp_path)
    assert (found.line, found.column, found.field) == (4, 3, "p.threshold")
    assert found.fix == "remove one of the two, on lines 2 and 4"


def test_other_encodings_are_named(tmp_path: Path) -> None:
    (found,) = problems_of("a: 1\n".encode("utf-16"), tmp_path)
    assert found.found == "UTF-16 text"
    assert found.fix == "save as UTF-8"
    (found,) = problems_of(b"aetx: 1\nsize: 3 \xb5m\n", tmp_path)
    assert found.found == "byte 0xB5 at offset 16"
    assert (found.line, found.column) == (2, 9)
    assert found.fix == "save as UTF-8"
    (found,) = problems_of("a: 1\n".encode("utf-16-le"), tmp_path)
    assert "control character" in found.found


def test_a_tab_for_indentation_is_placed(tmp_path: Path) -> None:
    (found,) = problems_of(b"a:\n\tb: 1\n", tmp_path)
    assert (found.line, found.column) == (2, 1)
    assert found.fix == "indent with spaces, not with tabs"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "- a\n- b\n", "word\n", "---\n...\n"])
def test_a_text_that_is_no_mapping_is_refused(text: str, tmp_path: Path) -> None:
    (found,) = problems_of(text.encode(), tmp_path)
    assert found.wanted == "a mapping of keys to values"


def test_broken_text_is_placed(tmp_path: Path) -> None:
    (found,) = problems_of(b"a: [1, 2\nb: 3\n", tmp_path)
    assert found.line in (1, 2)
    (found,) = problems_of(b"a: 'x\n", tmp_path)
    assert found.wanted == "YAML 1.2"


def test_a_second_document_and_keys_that_are_no_names_are_refused(tmp_path: Path) -> None:
    (found,) = problems_of(b"a: 1\n---\nb: 2\n", tmp_path)
    assert found.found == "a second document"
    (found,) = problems_of(b"? [a, b]\n: 1\n", tmp_path)
    assert found.wanted == "a name as key"


def test_a_file_that_is_too_large_or_absent_is_refused(tmp_path: Path) -> None:
    (found,) = problems_of(b"a: 1\n" + b"#" * LARGEST, tmp_path)
    assert f"at most {LARGEST}" in found.wanted
    with pytest.raises(RecipeError, match="No such file"):
        read(tmp_path / "none.yaml", Findings("none.yaml"))
    with pytest.raises(RecipeError, match="wanted a file"):
        read(tmp_path, Findings("folder"))


def test_a_recipe_has_a_bounded_number_of_values(tmp_path: Path) -> None:
    (found,) = problems_of(b"a: [" + b"1," * MOST + b"]\n", tmp_path)
    assert found.found == f"more than {MOST} values"
    assert found.fix == "put large tables in a file beside the recipe"


def test_broken_text_is_told_before_anything_heavy_is_imported() -> None:
    program = (
        "import sys; from pathlib import Path; from aetx.recipe.text import read; import aetx.recipe.findings;"
        "print({'xarray', 'dask', 'pydantic', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
