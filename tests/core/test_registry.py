"""Finding stages and readers by name."""

import subprocess
import sys
from pathlib import Path

import pytest

from aetx.core import Reader, Registry, Stage
from aetx.core.registry import stage_summary
from aetx.errors import RecipeError

TOY = Path(__file__).parents[1] / "toy"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOY))


def test_the_path_of_a_stage_is_its_name() -> None:
    names = Registry().stage_names()
    files = (ROOT / "aetx" / "stages").glob("*/[!_]*.py")
    assert names == sorted(f"{path.parent.name}.{path.stem}" for path in files)
    for name in names:
        found = Registry().stage(name)
        assert isinstance(found, Stage)
        assert found.name == name
        assert stage_summary(name) == found.summary != ""


def test_the_path_of_a_reader_is_its_name() -> None:
    names = Registry().reader_names()
    assert names == sorted(path.stem for path in (ROOT / "aetx" / "io" / "formats").glob("[!_]*.py"))
    for name in names:
        found = Registry().reader(name)
        assert isinstance(found, Reader)
        assert found.name == name
        assert found.summary
        assert all(pattern == pattern.lower() for pattern in found.patterns)


def test_naming_stages_imports_none_of_them() -> None:
    program = (
        "import sys; from aetx.core import Registry; names = Registry().stage_names() + Registry().reader_names();"
        "print(names, [name for name in sys.modules if name.startswith(('aetx.stages.', 'aetx.io.formats.'))"
        " and name.count('.') > 2 or name in ('torch', 'numba', 'h5py')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "'simulate.particle'" in done.stdout
    assert done.stdout.rstrip().endswith(" []")


def test_an_unknown_name_gets_the_nearest_known_one() -> None:
    with pytest.raises(RecipeError, match=r"did you mean 'simulate\.particle'\?"):
        Registry().stage("simulate.partcle")
    with pytest.raises(RecipeError, match="wanted a known reader"):
        Registry().reader("mrcc")
    with pytest.raises(RecipeError, match="wanted a known stage"):
        Registry().stage("os.system")


@pytest.mark.usefixtures("installed")
def test_an_installed_package_takes_part_only_when_named() -> None:
    assert "toy.solve" not in Registry().stage_names()
    assert "toy" not in Registry().reader_names()
    assert "toy.solve" not in Registry(frozenset({"aetx"})).stage_names()
    for name in ("aetx-toy", "aetx_toy", "Aetx.Toy"):
        registry = Registry(frozenset({name}))
        assert "toy.solve" in registry.stage_names()
        assert "simulate.particle" in registry.stage_names()
        assert registry.stage("toy.solve").version == 3
        assert registry.reader("toy").patterns == ("*.toy",)
        assert [one.name for one in registry.readers_for(Path("a/B.TOY"))] == ["toy"]
        assert registry.missing_plugins() == []
    assert Registry(frozenset({"aetx-tyo"})).missing_plugins() == ["aetx-tyo"]


@pytest.mark.usefixtures("installed")
def test_a_package_that_offers_something_else_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"found 'toy\.peaks', wanted a stage named 'toy\.wrong'"):
        Registry(frozenset({"aetx-broken"})).stage("toy.wrong")
