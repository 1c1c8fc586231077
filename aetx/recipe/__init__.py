"""YAML to a checked plan."""
