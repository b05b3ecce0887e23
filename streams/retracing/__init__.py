"""`crm-online features` and `consistency`: what scores were made of, from the log alone."""
