"""What is in a history, before anyone trusts a score that is made of it."""

from crm_online.profiling.profiler import Profiler
from crm_online.profiling.report import Profile

__all__ = ["Profile", "Profiler"]
