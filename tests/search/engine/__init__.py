"""Tests of search.engine."""
