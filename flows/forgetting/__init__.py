"""Erasure (UU PDP): what `larisma forget` finds of a person, and what it leaves in its place."""
