"""Parametrically sparse layers and the candidate operations built from them."""
