"""Tests of search.finalize."""
