"""What the papers share: audio, scenes, data, encoders, losses, metrics, training, stages, tables."""
