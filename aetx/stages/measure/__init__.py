"""Scores against truth and against the images."""
