"""The page in a real browser: it says nothing, fetches nothing, draws the atoms, and they turn."""

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aetx.report import write_report, write_summary
from tests.report.made import atoms, record, results


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(record(), results(), tmp_path_factory.mktemp("out"))


def balls(browser: Any) -> np.ndarray:
    """Return the pixels of the first view of atoms, rows by columns by red, green, blue."""
    browser.ask("document.querySelector('.atoms3d').scrollIntoView()")
    browser.ask("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    names = ("left", "top", "right", "bottom")
    box = [int(browser.ask(f"document.querySelector('.stage').getBoundingClientRect().{name}")) for name in names]
    shown = Image.open(io.BytesIO(browser.picture())).convert("RGB").crop((box[0], box[1], box[2], box[3]))
    return np.asarray(shown).astype(int)


def coloured(pixels: np.ndarray) -> float:
    """Return the part of the pixels that is neither grey nor white."""
    return float((np.ptp(pixels, axis=2) > 40).mean())


def console(browser: Any) -> list[dict[str, Any]]:
    said = browser.heard("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
    return [one for one in said if "GPU stall" not in str(one)]


def test_the_page_loads_without_a_word_on_the_console_and_fetches_nothing(browser: Any, page: Path) -> None:
    browser.open(page)
    assert console(browser) == []
    asked = [one["request"]["url"] for one in browser.heard("Network.requestWillBeSent")]
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    assert browser.ask("[...document.images].every((one) => one.complete && one.naturalWidth > 0)")


def test_the_policy_stops_a_page_that_was_tampered_with(browser: Any, page: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    evil = "<script>document.title='owned'</script><img src='http://127.0.0.1:9/x.png' onerror='document.title=1'>"
    bad.write_text(page.read_text("utf-8").replace("</main>", f"{evil}</main>"), "utf-8")
    browser.open(bad)
    assert browser.ask("document.title") == "A title"
    assert "Content Security Policy" in str(console(browser))


def test_atoms_are_drawn_and_turn_when_dragged(browser: Any, page: Path) -> None:
    browser.open(page)
    before = balls(browser)
    assert 0.05 < coloured(before) < 0.9
    middle = browser.ask(
        "(() => { const r = document.querySelector('.marks').getBoundingClientRect();"
        "return [r.left + r.width / 2, r.top + r.height / 2]; })()"
    )
    for kind, dx in (("mousePressed", 0), ("mouseMoved", 60), ("mouseReleased", 60)):
        place = {"x": middle[0] + dx, "y": middle[1], "button": "left", "buttons": 1, "clickCount": 1}
        browser.call("Input.dispatchMouseEvent", type=kind, **place)
    after = balls(browser)
    assert (np.abs(after - before).max(axis=2) > 30).mean() > 0.02
    assert 0.05 < coloured(after) < 0.9


def test_buttons_and_sliders_change_the_view(browser: Any, page: Path) -> None:
    browser.open(page)
    seen = [balls(browser)]
    for change in (
        "document.querySelector('[data-view=z]').click()",
        "document.querySelector('[data-zoom=\"0.8\"]').click()",
        "{ const s = document.querySelector('[name=cut]'); s.value = 0.5; s.dispatchEvent(new Event('input')); }",
        "{ const s = document.querySelector('select'); s.value = 1; s.dispatchEvent(new Event('change')); }",
    ):
        browser.ask(change)
        seen.append(balls(browser))
    for one, other in itertools.pairwise(seen):
        assert (np.abs(one - other).max(axis=2) > 20).mean() > 0.005
    assert console(browser) == []


def test_the_view_along_z_shows_x_to_the_right_and_y_up(browser: Any, tmp_path: Path) -> None:
    three = atoms(3)
    three["position"][:] = np.array([[0, 0, 0], [20, 0, 0], [0, 12, 5]])
    three["species"][:] = np.array([0, 26, 78])  # grey, blue, orange
    browser.open(write_report(record(), {"atoms": three}, tmp_path))
    browser.ask("document.querySelector('[data-view=z]').click()")
    pixels = balls(browser)
    blue = np.argwhere(pixels[..., 2] - pixels[..., 0] > 40).mean(axis=0)
    orange = np.argwhere(pixels[..., 0] - pixels[..., 2] > 40).mean(axis=0)
    assert blue[1] > orange[1] + 50  # the blue atom is at greater x
    assert orange[0] < blue[0] - 30  # the orange one is higher


def test_a_browser_without_webgl_draws_discs(browser_without_webgl: Any, page: Path) -> None:
    browser_without_webgl.open(page)
    assert browser_without_webgl.ask("document.createElement('canvas').getContext('webgl2')") is None
    assert 0.05 < coloured(balls(browser_without_webgl)) < 0.9


def test_a_dark_page_is_dark_and_prints_on_white(browser: Any, page: Path) -> None:
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    try:
        browser.open(page)
        assert browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(18, 23, 28)"
        assert np.median(balls(browser)) < 60
        browser.ask("window.dispatchEvent(new Event('beforeprint'))")
        browser.call("Emulation.setEmulatedMedia", media="print")
        assert browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert np.median(balls(browser)) == 255
    finally:
        browser.call("Emulation.setEmulatedMedia", media="", features=[])


@pytest.mark.parametrize("width", [320, 390, 768, 1600])
def test_no_width_makes_the_page_scroll_sideways(browser: Any, page: Path, width: int) -> None:
    browser.open(page, width=width)
    assert browser.ask("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_the_summary_links_to_reports_that_are_there(browser: Any, tmp_path: Path) -> None:
    jobs = [record(name=f"area {i}#?") for i in range(2)]
    for one in jobs:
        write_report(one, {}, tmp_path / one.name)
    browser.open(write_summary(jobs, tmp_path))
    links = browser.ask("[...document.querySelectorAll('td a')].map((one) => one.href)")
    assert console(browser) == []
    for found in links:
        browser.call("Page.navigate", url=found)
        browser.ask("new Promise((done) => setTimeout(done, 300))")
        assert browser.ask("document.title") == f"A title · area {links.index(found)}#?"
