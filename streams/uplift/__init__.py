"""`crm-online uplift`: what actions do."""
