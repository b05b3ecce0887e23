"""The `evaluate` commands: how good the product's predictions are on a file."""
