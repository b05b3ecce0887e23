"""What each role does with a batch, and what it needs around it."""
