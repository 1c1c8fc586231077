"""Pages that fetch nothing and run nothing but their own script: templates, escaping, security policy, writing."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from aetx.core.words import size

HERE = Path(__file__).parent


def render(template: str, values: Mapping[str, object]) -> str:
    """Return a page. Every value is escaped; text from a run is never read as a template.

    The style and the one script stand in the page, and its security policy names them by their hash, so that a browser
    runs nothing else and opens no connection.
    """
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["size"] = size
    style, script = (HERE / "report.css").read_text("utf-8"), (HERE / "atoms.js").read_text("utf-8")
    own = {
        "style": Markup(style),  # noqa: S704  our own file
        "script": Markup(script),  # noqa: S704  our own file
        "style_hash": _hash(style),
        "script_hash": _hash(script),
    }
    return environment.get_template(template).render({**values, **own})


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def write(path: Path, content: bytes) -> Path:
    """Write a file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
    return path


def link(*parts: str) -> str:
    """Return a relative link to a file below the page; it cannot name a scheme."""
    return "./" + "/".join(
        quote(piece, safe="") for part in parts for piece in part.split("/") if piece not in ("", ".")
    )
