"""Tests of the devices part."""
