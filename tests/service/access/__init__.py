"""Tests of the access part."""
