"""What the manifest and the command line call."""
