"""Tables of single cells that other tools made: read, joined to labels, and written back."""
