"""Prefect, files, clock and environment: the only package that knows where things live."""

import os

# Prefect and NumPy's BLAS read these when they are first imported, so they stand here, before either can be.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")  # a new database
os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "larisma")
os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
os.environ.setdefault("PREFECT_RESULTS_DEFAULT_SERIALIZER", "json")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one thread per worker; threads go over customers
