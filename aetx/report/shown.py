"""What a page shows of one dataset: pictures, small tables, atoms that turn."""

from __future__ import annotations

import base64
import json
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.colors import to_hex
from scipy.spatial import cKDTree

from aetx.draw import Picture, draw, style
from aetx.draw.score import name_of
from aetx.model import kind_of, positions
from aetx.report.ledger import WORDS, ledger_rows
from aetx.report.page import link, write

TURNED = 100_000
"""Most atoms in the view that turns."""
ROWS = 24


@dataclass(frozen=True)
class ShownPicture:
    """One picture in the page: its bytes as a data URI, and the link to its file."""

    title: str
    caption: str
    data: str
    link: str
    width: int
    height: int


@dataclass(frozen=True)
class Table:
    """A small table of text. The first `words` columns are words, the others numbers."""

    head: list[str]
    rows: list[list[str]]
    words: int = 1


@dataclass(frozen=True)
class Turning:
    """Atoms for the view that turns."""

    json: str
    caption: str


@dataclass(frozen=True)
class Shown:
    """Everything shown of one dataset."""

    pictures: list[ShownPicture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    atoms3d: Turning | None = None


def shown(name: str, dataset: xr.Dataset, folder: Path) -> Shown:
    """Draw a dataset; its pictures are also written to ``folder/figures``."""
    kind = kind_of(dataset).name
    pictures = [kept(name, picture, folder) for picture in draw(dataset)]
    sites = kind in ("atoms", "lattice")
    found = tables(dataset) if kind == "score" else []
    if sites:
        found = [Table(head, rows, WORDS) for head, rows in ledger_rows(dataset)]
    return Shown(pictures, found, turning_atoms(dataset) if sites else None)


def kept(name: str, picture: Picture, folder: Path) -> ShownPicture:
    """Write a picture to ``folder/figures`` and return it for the page."""
    png = picture.png()
    file = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{name}-{picture.name}").strip(".-") + ".png"
    write(folder / "figures" / file, png)
    width, height = struct.unpack(">II", png[16:24])
    data = "data:image/png;base64," + base64.b64encode(png).decode()
    return ShownPicture(picture.title, picture.caption, data, link("figures", file), width, height)


def tables(dataset: xr.Dataset) -> list[Table]:
    """Return the numbers of a score, and its short lists, as text with units."""
    found = []
    single = [str(name) for name, one in dataset.data_vars.items() if one.ndim == 0]
    if single:
        found.append(Table(["Score", "Value"], [[name_of(dataset, name), _number(dataset[name])] for name in single]))
    lists: dict[str, list[str]] = {}
    for name, one in dataset.data_vars.items():
        if one.ndim == 1 and 0 < one.size <= ROWS and one.dims[0] != "tilt":
            lists.setdefault(str(one.dims[0]), []).append(str(name))
    for dim, names in lists.items():
        keys = dataset[dim].values if dim in dataset.coords else np.arange(dataset.sizes[dim])
        rows = [[str(key), *(_number(dataset[name][i]) for name in names)] for i, key in enumerate(keys)]
        found.append(Table([dim, *(name_of(dataset, name) for name in names)], rows))
    return found


def _number(one: xr.DataArray) -> str:
    value = one.values.item()
    text = f"{value:.5g}" if isinstance(value, float) else str(value)
    return f"{text} {style.spell(str(one.attrs.get('units', '1')))}".strip()


def turning_atoms(atoms: xr.Dataset) -> Turning | None:
    """Return atoms for the browser: positions in steps of 1/32767 of the reach, colours as one byte an atom."""
    place = positions(atoms)
    kept = np.flatnonzero(np.isfinite(place).all(axis=1))
    if kept.size == 0:
        return None
    total = kept.size
    if total > TURNED:
        kept = np.sort(np.random.default_rng(0).choice(kept, TURNED, replace=False))
    place = place[kept]
    centre = (place.min(axis=0) + place.max(axis=0)) / 2
    step = float(max(np.abs(place - centre).max(), 1.0)) / 32767
    near = np.asarray(cKDTree(place).query(place[:: max(1, kept.size // 2000)], k=2)[0])[:, 1]
    near = near[np.isfinite(near)]
    ramp = [to_hex(colormaps[style.VALUES](i / 255)) for i in range(256)]
    given = {
        "places": _base64(np.round((place - centre) / step).astype("<i2")),
        "step": step,
        "radius": round(0.45 * float(np.median(near)) if near.size else 1.2, 4),
        "ramp": ramp,
        "channels": _channels(atoms.isel(atom=kept)),
    }
    caption = f"{kept.size} of {total} atoms, chosen evenly. " if kept.size < total else f"{total} atoms. "
    caption += "Drag to turn, + and − or the wheel (after a click) to zoom, two fingers on a touch screen; Cut takes "
    caption += f"atoms off the front. Turns about {', '.join(f'{round(c, 1) + 0.0:.1f}' for c in centre)} Å (x, y, z)."
    return Turning(json.dumps(given, separators=(",", ":")), caption)


def _channels(atoms: xr.Dataset) -> list[dict[str, object]]:
    species = atoms["species"].values
    found = style.species_colours(species)
    index = np.searchsorted(list(found), np.maximum(species, 0)).astype(np.uint8)
    by_species: dict[str, object] = {
        "name": "species",
        "values": _base64(index),
        "labels": [style.symbol(number) for number in found],
        "colours": list(found.values()),
    }
    channels = [by_species]
    for name, one in atoms.data_vars.items():
        if one.dtype.kind != "f" or name == "position" or one.dims not in (("atom",), ("atom", "axis")):
            continue
        values = one.values if one.ndim == 1 else np.linalg.norm(one.values, axis=1)
        low, high = style.limits(values.astype(float), 1, 99)
        byte = np.nan_to_num(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)
        unit = style.spell(str(one.attrs.get("units", "1")))
        ends = {"low": f"{low:.3g}", "high": f"{high:.3g} {unit}".strip()}
        channels.append({"name": str(name).replace("_", " "), "values": _base64(byte), **ends})
    if len(found) == 1 and len(channels) > 1:  # one species tells nothing: begin with the first number
        channels = [*channels[1:], by_species]
    return channels[:8]


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
