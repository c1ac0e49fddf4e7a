"""Customers × items: what people bought, and what they are likely to buy next."""
