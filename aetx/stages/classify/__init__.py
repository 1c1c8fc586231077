"""What each atom is."""
