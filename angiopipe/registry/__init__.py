"""The only code that knows MLflow: log, register, and the predictor that is registered."""
