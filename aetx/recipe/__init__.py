"""YAML to a checked plan."""

from aetx.recipe.load import load
from aetx.recipe.plan import Input, Job, Plan, Settings, Step
from aetx.recipe.settings import parse_memory

__all__ = ["Input", "Job", "Plan", "Settings", "Step", "load", "parse_memory"]
