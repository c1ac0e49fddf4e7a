"""A run on its way out: planned once in the ledger, rechecked when it is claimed, handed to a channel, settled."""
