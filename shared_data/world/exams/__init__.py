"""Mini exams with options: items of every skill whose truth is known by construction."""
