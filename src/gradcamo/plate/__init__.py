"""Many stacks, on one machine or a cluster."""
