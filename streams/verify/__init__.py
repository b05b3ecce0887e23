"""A running job broken in every way, and compared with an undisturbed run."""
