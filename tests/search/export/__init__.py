"""Tests of search.export."""
