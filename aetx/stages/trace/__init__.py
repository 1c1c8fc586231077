"""Volumes to atoms."""
