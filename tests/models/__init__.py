"""Models: what they learn, what they promise."""
