"""What is worked on."""
