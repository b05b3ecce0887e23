"""HTTP: intake, reads, dashboard, health and metrics."""
