"""Losses as typed functions on tensors."""
