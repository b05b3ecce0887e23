"""Delivers actions as signed webhooks; the topic is the outbox."""
