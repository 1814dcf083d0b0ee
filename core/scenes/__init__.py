"""Scenes: banks of labelled clips, timelines, captions; truth by construction."""
