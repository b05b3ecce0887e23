"""``python -m streams`` is ``crm-online``."""

from streams.cli import main

main()
