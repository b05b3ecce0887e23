"""How good the product's own predictions are on any history, beside what else could be run."""
