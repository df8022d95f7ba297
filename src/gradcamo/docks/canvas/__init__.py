"""What is worked on, shown on napari's layers."""
