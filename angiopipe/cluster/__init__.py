"""Training on a cluster: a Kubeflow Trainer v2 TrainJob, started, followed and cleared away."""
