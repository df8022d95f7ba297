"""Looking at cells."""
