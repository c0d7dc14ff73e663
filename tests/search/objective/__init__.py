"""Tests of search.objective."""
