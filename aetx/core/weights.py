"""Weights of networks on the disk: tensors as safetensors, and beside them a card in YAML that says what they are."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent
from safetensors import SafetensorError
from safetensors.torch import load, save

from aetx.core.params import Angle, Length
from aetx.errors import InputError, Problem, did_you_mean
from aetx.kernels.neural_networks import DEFAULTS, LARGEST, Published, Residual, build

Network = Published | Residual

SUFFIX = ".safetensors"
MOST, MOST_CARD = 1 << 28, 1 << 20
"""Bytes that are read of weights and of a card."""
DEEPEST = 20
"""Levels of nesting that a card may have."""
SHIPPED = Path(__file__).parent.parent / "weights"
"""Where the weights that come with aetx are."""


class Card(BaseModel):
    """What a model card says: which network, what it is valid for, how it was made, how good it is.

    A network is given a volume whose typical maximum (`aetx.kernels.volume_scale`) is `input_peak`, and gives a sum
    of Gaussians of height `output_peak` and standard deviation `width`. `pixel_size` is the range of voxel edges and
    `largest_tilt` that of the ends of the tilt range for which that was tried; tilts are about y, the wedge about z.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    card: Literal[1] = Field(1, description="version of the card")
    name: str = Field(description="name of the weights", min_length=1, max_length=80)
    title: str = Field("", description="what the network does, in a sentence")
    form: Literal["published", "deep", "residual"] = Field(description="form of the network")
    options: Mapping[str, int] = Field({}, description="options of the form, where they are not the defaults")
    pixel_size: tuple[Length, Length] = Field(description="least and greatest edge of a voxel, angstrom")
    largest_tilt: tuple[Angle, Angle] = Field(description="least and greatest end of the tilt range, degree")
    specimens: tuple[str, ...] = Field((), description="kinds of specimen that it was trained on")
    input_peak: float = Field(1.0, gt=0, description="typical maximum that the input is scaled to")
    output_peak: float = Field(1.0, gt=0, description="height of an atom in the output")
    width: Length = Field(gt=0, description="standard deviation of an atom in the output, angstrom")
    training: Mapping[str, Any] = Field({}, description="data, seeds and settings of the training")
    scores: Mapping[str, float] = Field({}, description="scores on held-out specimens, by name with unit")
    machine: str = Field("", description="machine of the training")
    hours: float = Field(0.0, ge=0, description="processor time of the training")
    parameters: int = Field(0, ge=0, description="number of trained parameters")
    sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$", description="digest of the file of weights")
    licence: str = Field("BSD-3-Clause", description="licence of the weights")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for key, value in self.options.items():
            if key not in DEFAULTS[self.form]:
                raise ValueError(f"no option {key!r} of {self.form}: {did_you_mean(key, DEFAULTS[self.form])}")
            if not 0 <= value <= LARGEST[key]:
                raise ValueError(f"{key} from 0 to {LARGEST[key]}")
        for text, (low, high) in {"pixel_size": self.pixel_size, "largest_tilt": self.largest_tilt}.items():
            if not 0 < low <= high:
                raise ValueError(f"{text}: the least before the greatest, both above 0")
        return self

    def network(self) -> Network:
        """Return the network that the card tells of, with fresh weights."""
        return build(self.form, **self.options)


def shipped() -> list[str]:
    """Return the names of the weights that come with aetx."""
    return sorted(path.stem for path in SHIPPED.glob(f"*{SUFFIX}"))


def locate(name: str | Path) -> Path:
    """Return the file of weights of a name, or the path itself where it is one.

    Raises
    ------
    InputError
        If no weights of this name come with aetx, or the path leads to no safetensors file.
    """
    text = str(name)
    if isinstance(name, str) and not ({"/", os.sep} & set(text) or text.endswith(SUFFIX) or Path(text).suffix):
        path = SHIPPED / f"{text}{SUFFIX}"
        if text not in shipped():
            wanted = "the name of weights that come with aetx, or the path of a .safetensors file"
            raise InputError(Problem("model", "name", repr(text), wanted, did_you_mean(text, shipped())))
        return path
    path = Path(name)
    if path.suffix != SUFFIX:
        fix = "convert it: aetx reads only safetensors, since other formats can run code (see aetx.core.weights.write)"
        raise InputError(Problem(text, "suffix", repr(path.suffix), f"'{SUFFIX}'", fix))
    for one, what in ((path, "weights"), (path.with_suffix(".yaml"), "the model card of the weights")):
        if not one.is_file():
            raise InputError(Problem(str(one), "file", "none", what, "name the right file; the card lies beside it"))
    return path


def write(path: Path | str, network: torch.nn.Module, card: Card) -> Card:
    """Write weights to a .safetensors file and the card beside it, and return the card as it is written.

    Number of parameters and sha256 are filled in. In a folder, the file has the name of the card. Weights of another
    program are brought in so, in a session of one's own that trusts their file::

        network = build("published")
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        write("fcc.safetensors", network, Card(name="fcc", form="published", input_peak=20, output_peak=78, ...))

    Raises
    ------
    InputError
        If a tensor is not finite, or not what the form has.
    """
    target = Path(path)
    target = target / f"{card.name}{SUFFIX}" if target.is_dir() else target
    if target.suffix != SUFFIX:
        raise InputError(Problem(str(path), "suffix", repr(target.suffix), f"'{SUFFIX}', or a folder", "rename it"))
    tensors = {name: one.detach().cpu().contiguous() for name, one in network.state_dict().items()}
    problems = list(_problems(str(target), tensors, _empty(card).state_dict()))
    if problems:
        raise InputError(problems, "these weights are not worth keeping")
    content = save(tensors)
    made = card.model_copy(
        update={
            "parameters": sum(one.numel() for one in network.parameters()),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    )
    text = io.StringIO()
    plain = YAML(typ="safe", pure=True)
    plain.width = 120
    plain.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # declared without its type
    plain.representer.default_flow_style = False
    plain.dump(made.model_dump(mode="json"), text)
    _replace(target, content)
    _replace(target.with_suffix(".yaml"), text.getvalue().encode())
    return made


def read(name: str | Path, sha256: str = "") -> tuple[Network, Card]:
    """Return a network with its weights, ready to be evaluated, and its card.

    Parameters
    ----------
    name
        Of weights that come with aetx, or the path of a safetensors file with its card beside it.
    sha256
        That the weights must have; empty for that of the card alone.

    Raises
    ------
    InputError
        With everything that is wrong: another format, a damaged file, tensors that are missing, unexpected, of another
        shape or not finite, a digest that is not that of the card.
    """
    path = locate(name)
    card = read_card(path)
    content = _bytes(path, MOST)
    found = hashlib.sha256(content).hexdigest()
    problems = [
        Problem(str(path), "sha256", found, wanted, "fetch the weights again, or name those that the card describes")
        for wanted in dict.fromkeys((card.sha256, sha256 or card.sha256))
        if wanted != found
    ]
    network = _empty(card)
    try:
        tensors = load(content)
    except SafetensorError as error:
        text = f"what is no safetensors file: {error}"
        problems.append(Problem(str(path), "content", text, "a whole safetensors file", "fetch the weights again"))
        raise InputError(problems, "these weights cannot be read") from error
    problems += _problems(str(path), tensors, network.state_dict())
    if problems:
        raise InputError(problems, "these weights cannot be used")
    network.load_state_dict(tensors, assign=True)
    return network.eval(), card


def read_card(path: Path) -> Card:
    """Return the card beside a file of weights.

    Raises
    ------
    InputError
        If it is no card, or names no digest.
    """
    file = path.with_suffix(".yaml")
    content = _bytes(file, MOST_CARD)
    plain = YAML(typ="safe", pure=True)
    try:
        text = content.decode("utf-8")
        depth = 0
        for event in plain.parse(text):
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if isinstance(event, AliasEvent):
                raise InputError(Problem(str(file), "content", "an alias", "plain values", "write the value in full"))
            if depth > DEEPEST:
                found, wanted = f"values nested deeper than {DEEPEST}", "a model card"
                raise InputError(Problem(str(file), "content", found, wanted, "fetch the card again"))
        card = Card.model_validate(plain.load(text))
    except (YAMLError, UnicodeDecodeError) as error:
        found = f"what is no YAML: {str(error).splitlines()[0]}"
        raise InputError(Problem(str(file), "content", found, "a model card", "fetch the card again")) from error
    except ValidationError as error:
        raise InputError(
            [
                Problem(
                    str(file),
                    ".".join(map(str, one["loc"])) or "card",
                    repr(one["input"])[:80],
                    one["msg"].removeprefix("Value error, "),
                    "mend the card, or write it again with the weights",
                )
                for one in error.errors()
            ],
            "this model card cannot be read",
        ) from error
    if not card.sha256:
        raise InputError(Problem(str(file), "sha256", "none", "the digest of the weights", "write the card again"))
    return card


def _empty(card: Card) -> Network:
    """Return the network of a card without memory behind its tensors."""
    with torch.device("meta"):
        return card.network()


def _problems(file: str, tensors: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> Iterator[Problem]:
    missing, unexpected = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    if missing or unexpected:
        found = f"missing {_few(missing)}; unexpected {_few(unexpected)}"
        yield Problem(file, "tensors", found, "those of the form that the card names", "name the right card or weights")
    for name in sorted(wanted.keys() & tensors.keys()):
        one, other = tensors[name], wanted[name]
        if one.shape != other.shape or one.dtype != other.dtype:
            texts = [f"{tuple(each.shape)} of {str(each.dtype).removeprefix('torch.')}" for each in (one, other)]
            yield Problem(file, name, texts[0], texts[1], "name the right card or weights")
        elif one.is_floating_point() and not bool(torch.isfinite(one).all()):
            count = int((~torch.isfinite(one)).sum())
            yield Problem(file, name, f"{count} values that are not finite", "finite weights", "train them again")


def _few(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "") if names else "none"


def _bytes(path: Path, most: int) -> bytes:
    size = path.stat().st_size
    if size > most:
        raise InputError(Problem(str(path), "size", f"{size} bytes", f"at most {most}", "name the right file"))
    return path.read_bytes()


def _replace(path: Path, content: bytes) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_bytes(content)
    aside.replace(path)
