"""The cache in Redis: what connects to it, writes it and reads it."""

from __future__ import annotations

from crm_online.sinks.redis.batch import Written
from crm_online.sinks.redis.connection import connect
from crm_online.sinks.redis.keys import Keys
from crm_online.sinks.redis.reader import CacheReader, Page
from crm_online.sinks.redis.writer import CacheWriter

__all__ = ["CacheReader", "CacheWriter", "Keys", "Page", "Written", "connect"]
