"""Clip banks and data sets that the papers share: their stages and configurations."""
