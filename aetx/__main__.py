"""`python -m aetx` is `aetx`."""

import os
import sys


def _forget_current_folder() -> None:
    """Undo that ``python -m`` looks for modules in the current folder first: data folders may hold a ``numpy.py``."""
    if not sys.flags.safe_path and sys.path and sys.path[0] in ("", os.getcwd()):  # noqa: PTH109 - as Python spells it
        del sys.path[0]


if __name__ == "__main__":
    _forget_current_folder()
    from aetx.cli import main

    main()
