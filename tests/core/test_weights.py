"""Weights come back as they were written, and nothing else is taken for weights."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from aetx.core.weights import Card, locate, read, read_card, shipped, write
from aetx.errors import InputError
from aetx.kernels.neural_networks import build

OPTIONS = {"width": 2, "inner": 2, "inner_blocks": 1}


def card(**changes: Any) -> Card:
    stated: dict[str, Any] = {
        "name": "small",
        "form": "residual",
        "options": OPTIONS,
        "pixel_size": (0.34, 0.38),
        "largest_tilt": (60.0, 75.0),
        "width": 0.45,
        "training": {"seed": 3, "recipe": "a: b\nc"},
        "scores": {"wrong, %": 1e-5},
    }
    return Card(**stated | changes)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    write(tmp_path, build("residual", **OPTIONS), card())
    return tmp_path / "small.safetensors"


def agree(path: Path) -> None:
    """Make the card name the file as it is now."""
    file = path.with_suffix(".yaml")
    old = read_card(path).sha256
    new = hashlib.sha256(path.read_bytes()).hexdigest()
    file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def refused(path: Path, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        read(path)
    assert caught.value.code == 3


def changed(path: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    agree(path)


def rewritten(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the header of a file and keep its tensors."""
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    agree(path)


def test_weights_and_card_come_back_as_they_were_written(tmp_path: Path) -> None:
    network = build("residual", **OPTIONS)
    made = write(tmp_path / "any.safetensors", network, card())
    found, told = read(tmp_path / "any.safetensors")
    assert told == made
    assert told.parameters == sum(one.numel() for one in network.parameters())
    assert told.training == {"seed": 3, "recipe": "a: b\nc"}
    assert not found.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor)
    with torch.no_grad():
        assert torch.equal(found(torch.ones(1, 1, 8, 8, 8)), network.eval()(torch.ones(1, 1, 8, 8, 8)))


def test_all_weights_that_come_with_aetx_can_be_read_and_are_small() -> None:
    for name in shipped():
        network, told = read(name)
        assert told.name == name
        assert told.licence == "BSD-3-Clause"
        assert told.parameters == sum(one.numel() for one in network.parameters())
        assert locate(name).stat().st_size <= 16e6


def test_a_name_that_is_unknown_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(InputError, match="the name of weights that come with aetx"):
        read("no-such-weights")


def test_a_pickle_is_refused_unopened(tmp_path: Path) -> None:  # W01
    canary = tmp_path / "canary"

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(canary),)

    for name in ("evil.pt", "evil.safetensors"):
        torch.save(Payload(), tmp_path / name)
    refused(tmp_path / "evil.pt", r"'\.safetensors'; convert it: aetx reads only safetensors")
    stated = "name: x, form: residual, pixel_size: [1, 1], largest_tilt: [1, 1], width: 1"
    (tmp_path / "evil.yaml").write_text(f"{{{stated}, sha256: {'f' * 64}}}", encoding="utf-8")
    refused(tmp_path / "evil.safetensors", "no safetensors file")
    assert not canary.exists()


def test_a_file_that_ends_early_is_refused(written: Path) -> None:  # W02
    written.write_bytes(written.read_bytes()[:-4])
    agree(written)
    refused(written, "no safetensors file")


def test_a_header_longer_than_the_file_is_refused(written: Path) -> None:  # W03
    written.write_bytes(struct.pack("<Q", 2**63) + written.read_bytes()[8:])
    agree(written)
    refused(written, "no safetensors file")


def test_overlapping_tensors_are_refused(written: Path) -> None:  # W04
    def overlap(header: dict[str, Any]) -> None:
        one, other = sorted(name for name in header if header[name].get("shape") == [2, 2, 3, 3, 3])[:2]
        header[other]["data_offsets"] = header[one]["data_offsets"]

    rewritten(written, overlap)
    refused(written, "no safetensors file")


def test_a_tensor_that_is_not_finite_is_named(written: Path) -> None:  # W05
    changed(written, lambda tensors: tensors["stem.bias"].__setitem__(0, float("nan")))
    refused(written, r"stem\.bias: found 1 values that are not finite")


def test_a_tensor_of_another_shape_is_named_with_both_shapes(written: Path) -> None:  # W06
    changed(written, lambda tensors: tensors.update({"stem.bias": torch.zeros(5)}))
    refused(written, r"stem\.bias: found \(5,\) of float32, wanted \(2,\) of float32")


def test_missing_and_unexpected_tensors_are_named(written: Path) -> None:  # W07
    changed(written, lambda tensors: tensors.update({"stem.bais": tensors.pop("stem.bias")}))
    refused(written, r"missing stem\.bias; unexpected stem\.bais")


@pytest.mark.parametrize("place", [-1, -1000, 20])
def test_one_flipped_bit_is_noticed(written: Path, place: int) -> None:  # W08
    content = bytearray(written.read_bytes())
    content[place] ^= 1
    written.write_bytes(content)
    refused(written, "sha256: found [0-9a-f]{64}, wanted [0-9a-f]{64}")


def test_weights_may_be_pinned_by_their_digest(written: Path) -> None:
    digest = hashlib.sha256(written.read_bytes()).hexdigest()
    assert read(written, digest)[1].sha256 == digest
    with pytest.raises(InputError, match="f" * 64):
        read(written, "f" * 64)


def test_weights_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    network = build("residual", **OPTIONS)
    with torch.no_grad():
        network.get_parameter("stem.bias")[1] = float("inf")
    with pytest.raises(InputError, match=r"stem\.bias"):
        write(tmp_path, network, card())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("form: residual", "form: residul", "form"),
        ("width: 2", "width: 1000000000", "width from 0 to 256"),
        ("width: 2", "widht: 2", "did you mean 'width'"),
        ("card: 1", "card: 2", "card"),
        ("name: small", "name: &a small", "alias|YAML|anchor"),
        ("name: small", "surprise: 1", "surprise"),
        ("name: small", "name: [", "no YAML"),
        ("sha256: ", "sha257: ", "sha25"),
    ],
)
def test_a_card_that_says_something_else_is_refused(written: Path, old: str, new: str, match: str) -> None:
    file = written.with_suffix(".yaml")
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1) + ("title2: *a\n" if "&a" in new else ""), encoding="utf-8")
    refused(written, match)


def test_weights_without_a_card_are_refused(written: Path) -> None:
    written.with_suffix(".yaml").unlink()
    refused(written, "the model card of the weights")


def test_a_pickle_with_a_trusted_content_is_converted_in_three_lines(tmp_path: Path) -> None:
    foreign = io.BytesIO()
    torch.save(build("residual", **OPTIONS).state_dict(), foreign)
    foreign.seek(0)
    network = build("residual", **OPTIONS)
    network.load_state_dict(torch.load(foreign, map_location="cpu", weights_only=True))
    write(tmp_path, network, card())
    assert read(tmp_path / "small.safetensors")[1].name == "small"
