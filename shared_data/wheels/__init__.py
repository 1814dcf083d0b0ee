"""Pretrained models inside ordinary PyPI wheels, as the foundations of the profile `wheels`."""
