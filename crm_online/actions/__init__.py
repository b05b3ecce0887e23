"""From scores to actions: rules, limits, the control group, and what came of it."""
