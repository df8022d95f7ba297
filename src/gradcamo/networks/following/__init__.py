"""What each axis of each tensor of a network is, followed through one forward pass."""
