"""Metrics as pure functions over evaluation logs and records: numpy and scipy, no torch."""
