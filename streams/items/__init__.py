"""The user's catalogue: loaded from a file, listed, shown."""
