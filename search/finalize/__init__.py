"""From architecture parameters to the trained network: derive, allocate, repair, train."""
