"""From predictions to pages: a paper as data, cells, claims, tables."""
