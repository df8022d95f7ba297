"""A plate becomes a checkpoint."""
