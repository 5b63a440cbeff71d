"""OpenCV transforms as pure functions on arrays; one module a recipe."""
