"""`crm-online export`: customers of the cache, into files."""
