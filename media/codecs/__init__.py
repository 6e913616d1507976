"""Blocking wrappers around codec libraries; no clock, no loop."""
