"""A workspace of real purchases and made-up people, decided from end to end."""
