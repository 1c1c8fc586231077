"""What a run leaves beside its results: the record in `aetx-run.json`, which the report shows."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

State = Literal["waiting", "running", "computed", "reused", "fused", "failed", "stopped"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FileRecord(_Record):
    """One file that was read."""

    path: str
    bytes: int
    sha256: str


class InputRecord(_Record):
    """One input: its files, what the recipe stated, what the dataset is."""

    name: str
    kind: str
    reader: str
    files: list[FileRecord]
    stated: dict[str, str]
    facts: dict[str, str]


class StepRecord(_Record):
    """One step: its parameters, why it ran or did not, what it cost, what it warned of."""

    name: str
    stage: str
    version: int
    sources: dict[str, list[str]]
    params: dict[str, str | int | float | bool | list[float] | list[int] | list[str] | None]
    state: State = "waiting"
    reason: str = ""
    key: str = ""
    store: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    forecast_bytes: int = 0
    warnings: list[str] = []


class RunRecord(_Record):
    """One run of one job."""

    aetx: int = 1
    title: str
    name: str
    status: Literal["running", "finished", "failed", "stopped"]
    started: str
    finished: str = ""
    error: str = ""
    recipe: str
    recipe_path: str
    recipe_sha256: str
    command: list[str] = []
    variables: dict[str, str] = {}
    inputs: list[InputRecord] = []
    steps: list[StepRecord] = []
    exports: list[str] = []
    numbers: dict[str, int | float] = {}
    report: list[str] = []
    versions: dict[str, str] = {}
    machine: dict[str, str] = {}
    settings: dict[str, str] = {}

    @property
    def cause(self) -> str:
        """The line of the error that says what was wrong: of a traceback the last, else the first with a finding."""
        lines = [line for line in self.error.splitlines() if line.strip() and not line.startswith("in step")]
        if not lines or lines[0].startswith("Traceback"):
            return lines[-1] if lines else ""
        return next((line for line in lines if ": found " in line), lines[0])

    def warnings_of(self, key: str) -> list[str]:
        """Return what the step that made the result of this key warned of."""
        return next((step.warnings for step in self.steps if step.key == key), [])
