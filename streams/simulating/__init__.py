"""The command that makes up customers."""
