"""Looking at plates."""
