"""Data sets: what they are, how they are stored, imported, checked and diagnosed."""
