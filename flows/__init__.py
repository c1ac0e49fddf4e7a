"""Prefect, files, clock and environment: the only package that knows where things live."""
