"""`crm-online models`: which estimators predict, how they do, and who does so from now on."""
