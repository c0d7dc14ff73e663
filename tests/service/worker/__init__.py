"""Tests of the steps of flows, without an engine around them."""
