"""The only code that knows Beam: the ingest and preprocess graphs."""
