"""Plan and store and dask to results: what runs, why, with how much memory, and what it leaves."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from aetx.run.threads import limit_threads

if TYPE_CHECKING:
    from aetx.run.outlook import Forecasts, JobForecast, StepForecast, forecast
    from aetx.run.plan import JobsError, Records, run_plan
    from aetx.run.status import Status, status_of
    from aetx.run.stop import Stopped
    from aetx.run.verify import Verified, verify_output

__all__ = [
    "Forecasts",
    "JobForecast",
    "JobsError",
    "Records",
    "Status",
    "StepForecast",
    "Stopped",
    "Verified",
    "forecast",
    "limit_threads",
    "run_plan",
    "status_of",
    "verify_output",
]

_HOMES = {
    "Forecasts": "outlook",
    "JobForecast": "outlook",
    "JobsError": "plan",
    "Records": "plan",
    "Status": "status",
    "StepForecast": "outlook",
    "Stopped": "stop",
    "Verified": "verify",
    "forecast": "outlook",
    "run_plan": "plan",
    "status_of": "status",
    "verify_output": "verify",
}


def __getattr__(name: str) -> object:
    """Import numpy and dask only when something that needs them is asked for: `limit_threads` comes before them."""
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(importlib.import_module(f"aetx.run.{_HOMES[name]}"), name)
