"""The TFRecord contracts: how studies and examples are written, read back and listed."""
