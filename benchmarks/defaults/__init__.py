"""What a first training with default settings gives."""
