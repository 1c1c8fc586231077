"""Make specimens and images whose truth is known."""
