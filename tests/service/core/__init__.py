"""Tests of what all features share: settings, database, errors, states, the application."""
