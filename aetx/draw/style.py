"""One look for every picture: colours, axes, scale bars. Nothing here changes matplotlib's settings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

INK, MUTED, LINE, PAPER = "#1f2933", "#5b6875", "#d5dbe1", "#ffffff"
BLUE, ORANGE, GREEN, PINK, SKY, AMBER = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"
SERIES = (BLUE, ORANGE, GREEN, PINK, SKY, AMBER)
"""Colours that stay apart for every kind of colour vision (Okabe and Ito)."""
GREY, DENSITY, POWER, VALUES, SIGNED = "gray", "inferno", "magma", "viridis", "RdBu_r"
VIEWS = (("x", "y", "z"), ("x", "z", "y"), ("z", "y", "x"))
"""Axis across, axis up, axis along which is looked, of each of three panels."""
WIDTH = 9.0
SIZE = 9.0
NEUTRAL = "#8a94a0"
PALE = 0.5
"""Share of white in the pale form of a colour."""

SPELLING = {
    "angstrom": "Å",
    "degree": "°",
    "1/angstrom": "Å⁻¹",
    "angstrom**2": "Å²",
    "e/angstrom**2": "e Å⁻²",
    "1/angstrom**3": "Å⁻³",
    "count/angstrom": "counts Å⁻¹",
    "count": "counts",
    "1": "",
}


def figure(height: float, width: float = WIDTH) -> Any:
    """Return an empty figure of the report's width; sizes in inches."""
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.03, hspace=0.05)
    return Figure(figsize=(width, height), layout=layout, facecolor=PAPER)


def spell(units: str) -> str:
    """Return a unit as people print it: ``angstrom`` becomes ``Å``, nothing for a pure number."""
    return SPELLING.get(units, units.replace("angstrom", "Å").replace("**2", "²").replace("**3", "³"))


def label(name: str, units: str) -> str:
    """Return the label of an axis: name and unit."""
    unit = spell(units)
    return f"{name} ({unit})" if unit else name


def title(axes: Any, text: str) -> None:
    """Write a title above the left edge of a panel."""
    axes.set_title(text, loc="left", fontsize=SIZE, color=INK, pad=5)


def chart(axes: Any, across: str, up: str, heading: str = "") -> Any:
    """Dress a panel that shows numbers: two spines, a light grid, labels with units."""
    axes.set_facecolor(PAPER)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
        axes.spines[side].set_linewidth(0.7)
    axes.tick_params(colors=MUTED, labelcolor=INK, labelsize=SIZE - 1, width=0.7, length=3)
    axes.grid(visible=True, color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(across, fontsize=SIZE - 0.5, color=INK)
    axes.set_ylabel(up, fontsize=SIZE - 0.5, color=INK)
    if heading:
        title(axes, heading)
    return axes


def bare(axes: Any) -> Any:
    """Take ticks and spines off a panel that shows an image."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def legend(axes: Any, **options: Any) -> None:
    """Add a plain legend."""
    axes.legend(frameon=False, fontsize=SIZE - 1, labelcolor=INK, handlelength=1.2, **options)


def image(
    axes: Any,
    values: np.ndarray,
    extent: tuple[float, float, float, float],
    colours: str,
    limits: tuple[float, float],
    bar: str = "white",
) -> Any:
    """Show an image whose first row is lowest, lengths in angstrom, with a scale bar; return the drawn image."""
    bare(axes)
    drawn = axes.imshow(
        values,
        origin="lower",
        extent=extent,
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        interpolation="nearest" if max(values.shape) < 512 else "antialiased",
        aspect="equal",
    )
    scale_bar(axes, extent, bar)
    return drawn


def scale_bar(
    axes: Any, extent: tuple[float, float, float, float], colour: str = "white", unit: str = "angstrom"
) -> None:
    """Draw a bar of a round length, about a quarter of the width, in the lower left corner."""
    left, right, _, _ = extent
    length, start = round_length((right - left) / 3.2), left + (right - left) * 0.045
    halo = withStroke(linewidth=3.2, foreground="#00000080" if colour == "white" else "#ffffffb0")
    place = axes.get_xaxis_transform() + ScaledTranslation(0, 7 / 72, axes.figure.dpi_scale_trans)
    axes.plot(
        [start, start + length],
        [0, 0],
        color=colour,
        linewidth=2.2,
        solid_capstyle="butt",
        transform=place,
        scalex=False,
        scaley=False,
        path_effects=[halo],
        zorder=5,
    )
    above = axes.get_xaxis_transform() + ScaledTranslation(0, 10 / 72, axes.figure.dpi_scale_trans)
    written = axes.text(
        start + length / 2,
        0,
        length_text(length) if unit == "angstrom" else label_number(length, unit),
        color=colour,
        fontsize=SIZE - 1.5,
        ha="center",
        va="bottom",
        transform=above,
        zorder=5,
    )
    written.set_path_effects([withStroke(linewidth=1.6, foreground="#00000080" if colour == "white" else "#ffffffb0")])


def arrows(axes: Any, across: str, up: str, colour: str = "white") -> None:
    """Name the two axes of an image by small arrows in its lower right corner; lengths in points."""
    length, right, low = 17, 16, 9
    for dx, dy, name in ((1, 0, across), (0, 1, up)):
        frame = axes.transAxes + ScaledTranslation(-(right + length) / 72, low / 72, axes.figure.dpi_scale_trans)
        tip = frame + ScaledTranslation(dx * length / 72, dy * length / 72, axes.figure.dpi_scale_trans)
        axes.annotate(
            "",
            (1, 0),
            (1, 0),
            xycoords=tip,
            textcoords=frame,
            arrowprops={
                "arrowstyle": "-|>",
                "color": colour,
                "linewidth": 0.9,
                "shrinkA": 0,
                "shrinkB": 0,
                "mutation_scale": 6,
            },
            zorder=5,
        )
        axes.text(
            1,
            0,
            name,
            transform=tip + ScaledTranslation(dx * 3 / 72, dy * 2 / 72, axes.figure.dpi_scale_trans),
            color=colour,
            fontsize=SIZE - 1.5,
            ha="left" if dx else "center",
            va="center" if dx else "bottom",
            zorder=5,
        )


def round_length(most: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is not above `most`."""
    power = 10.0 ** math.floor(math.log10(most))
    return max(step * power for step in (1, 2, 5) if step * power <= most * (1 + 1e-9))


def degrees(angle: float) -> str:
    """Write an angle with its sign and one decimal; there is no negative zero."""
    return f"{round(angle, 1) + 0.0:+.1f}°".replace("-", "\u2212")


def label_number(value: float, units: str) -> str:
    """Write a number with its unit."""
    return f"{value:g} {spell(units)}".strip()


def whole(axes: Any) -> None:
    """Write whole numbers only below a horizontal axis that counts."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def length_text(angstrom: float) -> str:
    """Write a length: angstrom below a nanometre, micrometres from a thousand nanometres."""
    for size, unit in ((1e4, "µm"), (10.0, "nm"), (1.0, "Å")):
        if angstrom >= size * (1 - 1e-9):
            return f"{angstrom / size:g} {unit}"
    return f"{angstrom * 100:g} pm"


def colour_bar(made: Any, drawn: Any, axes: Any, text: str) -> Any:
    """Add a slim colour bar with its label."""
    bar = made.colorbar(drawn, ax=axes, fraction=0.025, pad=0.012, aspect=26)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=SIZE - 1.5, width=0.6, length=2.5)
    bar.set_label(text, fontsize=SIZE - 1, color=INK)
    return bar


def histogram(
    axes: Any, values: np.ndarray, colour: str = BLUE, *, name: str = "", edges: np.ndarray | None = None
) -> None:
    """Draw a filled histogram; bins by Freedman and Diaconis, between 20 and 80."""
    cells = histogram_edges(values) if edges is None else edges
    height, cells = np.histogram(values, cells)
    axes.stairs(height, cells, fill=True, color=colour, alpha=0.35, linewidth=0)
    axes.stairs(height, cells, color=colour, linewidth=1.1, label=name or None)
    shown = axes.get_ylim()[1] if axes.patches[1:] else 0.0
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.set_ylim(0, max(shown, 1.14 * float(height.max(initial=1))))


def histogram_edges(values: np.ndarray) -> np.ndarray:
    """Return edges of 20 to 80 equal bins over the values, without the outermost thousandth on each side."""
    if values.size == 0:
        return np.linspace(0.0, 1.0, 13)
    low, high = (float(v) for v in np.quantile(values, [0.001, 0.999]))
    if high - low <= 1e-12 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    spread = float(np.subtract(*np.quantile(values, [0.75, 0.25])))
    wanted = (high - low) / (2 * spread / values.size ** (1 / 3)) if spread > 0 else 30
    return np.linspace(low, high, int(np.clip(wanted, 20, 80)) + 1)


def marker(axes: Any, value: float, name: str) -> None:
    """Mark a value on the horizontal axis by a dashed line with its name and number."""
    axes.axvline(value, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    right = value > sum(axes.get_xlim()) / 2
    axes.annotate(
        f"{name} {value:.4g}",
        (value, 0.97),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if right else 4, 0),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top",
        fontsize=SIZE - 1,
        color=INK,
    )


def limits(values: np.ndarray, low: float = 0.5, high: float = 99.8) -> tuple[float, float]:
    """Return the percentiles between which an image is shown; never an empty range."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    a, b = (float(v) for v in np.percentile(finite, [low, high]))
    return (a, b) if b > a else (a, a + (abs(a) or 1.0))


def symbol(number: int) -> str:
    """Return a chemical symbol, or what to call an atom whose species is not known."""
    return chemical_symbols[number] if 0 < number < len(chemical_symbols) else "unknown"


def species_colours(species: np.ndarray) -> dict[int, str]:
    """Return a colour for each atomic number present, in order; grey for unknown."""
    known = [int(number) for number in np.unique(species) if number > 0]
    found = {number: SERIES[i % len(SERIES)] for i, number in enumerate(known)}
    return {0: NEUTRAL, **found} if (species <= 0).any() else found


def pale(colour: str) -> str:
    """Return the pale form of a colour."""
    return to_hex([PALE + (1 - PALE) * part for part in to_rgb(colour)])
