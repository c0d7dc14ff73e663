"""Tests of search.problems."""
