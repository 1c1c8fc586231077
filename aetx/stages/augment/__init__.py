"""Volumes to clearer volumes."""
