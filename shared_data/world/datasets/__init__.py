"""Mini versions of the papers' data sets, in the official columns."""
