"""`python -m aetx` is `aetx`."""

from aetx.cli import main

if __name__ == "__main__":
    main()
