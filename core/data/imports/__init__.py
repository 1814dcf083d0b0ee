"""Importers: one module per official data set, from its official layout to the rows of core.data.schema."""
