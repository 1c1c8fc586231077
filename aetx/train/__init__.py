"""Training files to weights: pairs of volumes and atoms from plain recipes, a network fitted to them, its scores."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aetx.train.session import Outcome, train
    from aetx.train.settings import Training, load

__all__ = ["Outcome", "Training", "load", "train"]

_HOMES = {"Outcome": "session", "Training": "settings", "load": "settings", "train": "session"}


def __getattr__(name: str) -> object:
    """Import torch and dask only when a network is trained."""
    if name not in __all__:
        raise AttributeError(name)
    return getattr(importlib.import_module(f"aetx.train.{_HOMES[name]}"), name)
