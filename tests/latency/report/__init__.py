"""Tests of latency.report."""
