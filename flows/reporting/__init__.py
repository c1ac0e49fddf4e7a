"""The HTML report of a run: its words, bars and plots."""
