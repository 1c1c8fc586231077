"""What surrounds atoms, and what order there is among them."""
