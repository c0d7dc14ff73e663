"""Tests of latency.exchange."""
