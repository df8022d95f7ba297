"""A stack, its labels and a checkpoint become a table."""
