"""paper_name: what the paper shows, in one line."""
