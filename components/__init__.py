"""The Kubeflow face of each step: a signature and a call; the library does the work."""
