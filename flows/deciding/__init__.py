"""How a run comes about: what offers are worth, who gets which, and what the run says of it."""
