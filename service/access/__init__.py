"""Who may do what: tokens, and the declared policy of every route."""
