"""Images from anywhere as tensors, and damage to them by seed."""
