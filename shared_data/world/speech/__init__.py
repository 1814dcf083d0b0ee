"""Spoken items: texts that espeak-ng speaks, with voice, stress and tone known."""
