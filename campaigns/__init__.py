"""Offers, money, people and words: who may get which promotion, and which one they should."""
