"""Metrics: vectorised NumPy, per-item scores kept, intervals beside every number."""
