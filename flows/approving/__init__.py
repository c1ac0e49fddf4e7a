"""Who says yes: the approval of a campaign, and the agreements of those who co-fund it."""
