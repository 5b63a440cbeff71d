"""The graphs, one a file, and the command that compiles and runs them."""
