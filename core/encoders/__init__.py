"""Encoders of audio and text, on the classes of `transformers`."""
