"""What comes back from mail systems, read as input that anybody may have written: bounces, complaints, events."""
