"""What people and mail servers answer: refusals by link, bounces, complaints, and lists of events."""
