"""YAML to a checked plan."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aetx.recipe.plan import Input, Job, Plan, Settings, Step
    from aetx.recipe.recipe import load
    from aetx.recipe.settings import parse_memory

__all__ = ["Input", "Job", "Plan", "Settings", "Step", "load", "parse_memory"]

_HOMES = {"load": "recipe", "parse_memory": "settings"}


def __getattr__(name: str) -> object:
    """Import xarray and dask only when a plan is made: broken text is told before that."""
    if name not in __all__:
        raise AttributeError(name)
    return getattr(importlib.import_module(f"aetx.recipe.{_HOMES.get(name, 'plan')}"), name)
