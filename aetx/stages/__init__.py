"""The algorithms: `aetx/stages/<room>/<name>.py` holds the stage `<room>.<name>`."""
