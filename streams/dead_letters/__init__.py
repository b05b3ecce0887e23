"""What was refused: looked at, mended, put back once."""
