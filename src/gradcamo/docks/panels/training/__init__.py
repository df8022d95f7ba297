"""Making networks."""
