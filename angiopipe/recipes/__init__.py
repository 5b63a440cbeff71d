"""One module a recipe; each holds `RECIPE`, and its docstring the command and the expected result."""
