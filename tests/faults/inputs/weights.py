"""Bad weights of networks and bad model cards."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from aetx.core.weights import Card, write
from aetx.kernels.neural_networks import build
from tests.faults.inputs.base import Maker, Table, mrc, recipe

TABLE = Table({})
TENSORS = dict[str, torch.Tensor]


def good(folder: Path) -> Path:
    """Write weights and their card."""
    torch.manual_seed(0)
    card = Card(name="w", form="residual", pixel_size=(0.2, 0.6), largest_tilt=(50, 90), width=0.45)
    write(folder / "w.safetensors", build("residual"), card)
    return folder / "w.safetensors"


def weights(change: Callable[[Path], object], name: str = "w.safetensors", **params: Any) -> Maker:
    """Return a maker of weights that are changed afterwards, and of a recipe that filters with them."""

    def make(folder: Path) -> None:
        change(good(folder))
        (folder / "v.mrc").write_bytes(mrc())
        step = {"name": "a", "stage": "augment.unet", "from": "s", "params": {"weights": name, **params}}
        recipe(folder, {"path": "v.mrc", "kind": "volume"}, steps=[step])

    return make


def resaved(change: Callable[[TENSORS], object]) -> Callable[[Path], None]:
    """Return a change of the tensors of a file."""

    def apply(path: Path) -> None:
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    return apply


def pinned(change: Callable[[Path], object]) -> Callable[[Path], object]:
    """Return a change after which the card names the digest of what is there."""

    def apply(path: Path) -> None:
        change(path)
        card = path.with_suffix(".yaml")
        lines = [line for line in card.read_text().splitlines() if not line.startswith("sha256")]
        card.write_text("\n".join([*lines, f"sha256: {hashlib.sha256(path.read_bytes()).hexdigest()}", ""]))

    return apply


def header(text: bytes | int) -> Callable[[Path], None]:
    """Return a change that puts another header in the place of a file's."""

    def apply(path: Path) -> None:
        if isinstance(text, int):
            path.write_bytes(struct.pack("<Q", text) + path.read_bytes()[8:])
        else:
            path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(1000))

    return apply


def _first(tensors: TENSORS) -> str:
    return sorted(name for name, one in tensors.items() if one.ndim > 1)[0]


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)


def _overlap(path: Path) -> None:
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    header(json.dumps({"a": entry, "b": entry}).encode())(path)


def card(text: bytes) -> Callable[[Path], object]:
    """Return a change of the card to other bytes."""
    return lambda path: path.with_suffix(".yaml").write_bytes(text)


STARTED: dict[str, Callable[[Path], object]] = {
    "W02 cut by 4 bytes": pinned(lambda path: path.write_bytes(path.read_bytes()[:-4])),
    "W02 0 bytes": pinned(lambda path: path.write_bytes(b"")),
    "W03 a header of 2^63 bytes": pinned(header(2**63)),
    "W03 a header of 2^64 - 1 bytes": pinned(header(2**64 - 1)),
    "W03 a header of words": pinned(header(b"hello")),
    "W03 a header of 100,000 brackets": pinned(header(b"[" * 100_000)),
    "W04 overlapping tensors": pinned(_overlap),
    "W05 a weight that is nan": pinned(resaved(lambda one: one[_first(one)].view(-1).__setitem__(0, float("nan")))),
    "W05 a weight that is infinite": pinned(resaved(lambda one: one[_first(one)].view(-1).__setitem__(0, np.inf))),
    "W06 another shape": pinned(resaved(lambda one: one.__setitem__(_first(one), torch.zeros(3, 3)))),
    "W06 another type": pinned(resaved(lambda one: one.__setitem__(_first(one), one[_first(one)].double()))),
    "W07 a key misspelled": pinned(resaved(lambda one: one.__setitem__("wieght", one.pop(_first(one))))),
    "W07 a key too many": pinned(resaved(lambda one: one.__setitem__("more", torch.zeros(3)))),
    "W08 a bit flipped": _flip,
    "W08 a pickle with its name": lambda path: path.write_bytes(b"\x80\x04cos\nsystem\n(S'touch CANARY'\ntR."),
}
for _name, _change in STARTED.items():
    TABLE.add(_name, 3, (), weights(_change), started=True)

EARLY: dict[str, Callable[[Path], object]] = {
    "W09 no card": lambda path: path.with_suffix(".yaml").unlink(),
    "W09 a card of nothing": card(b""),
    "W09 a card that is a list": card(b"- a\n"),
    "W09 a card of noise": card(bytes(range(256))),
    "W09 a card with a tag": card(b"name: !!python/object/apply:os.system [touch CANARY]\n"),
    "W09 a card with aliases": card(b"a: &a [1]\nb: [*a]\n"),
    "W09 a card of 10,000 brackets": card(b"name: " + b"[" * 10_000),
    "W09 a card with a key twice": card(b"name: a\nname: b\n"),
    "W09 a card of another version": lambda path: _edit(path, "card: 1", "card: 2"),
    "W09 a card of another form": lambda path: _edit(path, "form: residual", "form: transformer"),
    "W09 a card without a digest": lambda path: _edit(path, "sha256: ", "sha256: ''\nq: "),
    "W09 a card of a huge network": lambda path: _edit(path, "options: {}", "options: {width: 1000000}"),
    "W09 a card with a width of nan": lambda path: _edit(path, "width: 0.45", "width: .nan"),
}


def _edit(path: Path, old: str, new: str) -> None:
    file = path.with_suffix(".yaml")
    text = file.read_text()
    assert old in text, text
    file.write_text(text.replace(old, new))


for _name, _change in EARLY.items():
    TABLE.add(_name, 3, (), weights(_change))
TABLE.add("W01 a pickle of torch", 2, (), weights(lambda path: path.with_suffix(".pt").touch(), "w.pt", sha256="0"))
TABLE.add("W01 a .pt file", 3, "safetensors", weights(lambda path: path.with_suffix(".pt").touch(), "w.pt"))
TABLE.add("W08 another digest in the recipe", 3, (), weights(lambda _: None, sha256="0" * 64), started=True)
