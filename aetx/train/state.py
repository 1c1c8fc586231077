"""The state of a training on the disk: weights, moments, step and history; complete or absent, no code in it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from aetx.errors import Problem, RecipeError
from aetx.store import disk


@dataclass
class History:
    """What has happened so far.

    `loss` holds (step, mean loss of the steps since the row before), `judged` rows of (step, RMSE, wrong atoms in per
    cent, RMSD in picometre) on pairs for validation; `seconds` is processor time.
    """

    step: int = 0
    seconds: float = 0.0
    loss: list[tuple[int, float]] = field(default_factory=list)
    judged: list[tuple[int, float, float, float]] = field(default_factory=list)
    since: float = 0.0
    """Sum of the losses since the last row."""


def keep(
    file: Path, key: str, network: torch.nn.Module, optimiser: torch.optim.Optimizer, history: History, scratch: Path
) -> None:
    """Write the state of a training."""
    tensors = {f"network.{name}": one for name, one in network.state_dict().items()}
    for number, kept in optimiser.state_dict()["state"].items():
        tensors |= {f"moment.{number}.{name}": one for name, one in kept.items()}
    whole = {name: one.detach().cpu().contiguous().clone() for name, one in tensors.items()}
    text = json.dumps({"key": key, "history": asdict(history)})
    disk.write_atomically(file, save(whole, {"training": text}), scratch)


def take_up(file: Path, key: str, network: torch.nn.Module, optimiser: torch.optim.Optimizer) -> History:
    """Give network and optimiser the state that stands, and return its history; a fresh one where none stands.

    Raises
    ------
    RecipeError
        If the state is that of another training, or damaged.
    """
    if not file.is_file():
        return History()
    try:
        with safe_open(file, framework="pt") as store:
            told = json.loads(store.metadata()["training"])
            tensors = {name: store.get_tensor(name) for name in store.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        fix = "remove it to begin anew"
        raise RecipeError(Problem(str(file), "content", str(error), "the state of a training", fix)) from error
    if told["key"] != key:
        fix = "choose another output, or remove this file to begin anew; pairs are kept"
        wanted = "that of this training file, with these libraries"
        raise RecipeError(Problem(str(file), "training", "the state of another training", wanted, fix))
    network.load_state_dict({name.removeprefix("network."): one for name, one in _of(tensors, "network.").items()})
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, one in _of(tensors, "moment.").items():
        _, number, moment = name.split(".")
        state.setdefault(int(number), {})[moment] = one
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    past = told["history"]
    past["loss"], past["judged"] = [tuple(row) for row in past["loss"]], [tuple(row) for row in past["judged"]]
    return History(**past)


def _of(tensors: dict[str, torch.Tensor], start: str) -> dict[str, torch.Tensor]:
    return {name: one for name, one in tensors.items() if name.startswith(start)}
