"""How good the published predictions are, from settled ones only."""
