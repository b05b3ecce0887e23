"""What an operator does to a job that stands still: adopt, reset, back up, restore."""
