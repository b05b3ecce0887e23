"""`crm-online profile`: what is in a history, before anyone trusts a score."""
