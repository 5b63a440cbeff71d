"""Kubeflow Pipelines' HTTP API, as far as the commands need it.

Plain HTTP, not the kfp client: that one sets no time-out, and a server that does not answer (it does not
when it is sent broken YAML) would hold a command for ever; it cannot be asked for one that lasts over
retries; and of a refusal it shows the headers and a stack trace, not the cause.
"""
