"""Tests of search.data."""
