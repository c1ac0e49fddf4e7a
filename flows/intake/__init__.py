"""How rows come in: sources, mapping, checks, upsert, quarantine, and the accounting of it all."""
