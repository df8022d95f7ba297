"""Files in, files out: stacks, labels, plates, tables, each landing whole."""
