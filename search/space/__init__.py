"""Which networks can be searched, as plain values: no torch, so that the API can read them."""
