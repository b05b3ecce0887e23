"""`crm-online rules`: whether rules are right, and what they would have done."""
