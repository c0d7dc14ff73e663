"""The locked versions per role, and the two scripts that make and check them."""
