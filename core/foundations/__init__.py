"""Pretrained networks that papers build on: public checkpoints, or small ones trained on scenes and texts."""
