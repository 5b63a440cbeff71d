"""What a trained model is worth: figures with intervals, operating points and the report."""
