"""Strategies over one trained supernet and its tables: rivals, fronts, several devices."""
