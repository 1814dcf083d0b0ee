"""Everything that synthesises the small world: sounds, music, speech, data sets, exams. Papers read its
files."""
