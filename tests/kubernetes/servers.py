"""A real Kubernetes control plane with Kubeflow Trainer, on loopback: everything of a cluster but its nodes.

etcd, API server, controller manager, JobSet's and Trainer's controllers run as processes that
`tests/kubernetes/build` made. There is no scheduler and no kubelet: pods are admitted and created,
and stay pending until a test says what a node would say of them.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import kubernetes
import yaml

from angiopipe.cluster.pods import JOBSET_LABEL
from infra.flink.member import Member, free_ports, start_member
from tests.unit.infra.built import KUBECTL, Object

BINARIES = Path(__file__).with_name("bin")
START_SECONDS = 90
STARTED = "2026-01-01T00:00:00Z"


class ControlPlane:
    """The processes, and `kubectl` with all rights.

    Attributes:
      url: of the API server.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._members: list[Member] = []
        self._environment = {"KUBECONFIG": str(folder / "kubeconfig")}
        names = (
            "etcd",
            "peer",
            "api",
            "manager",
            "jobset",
            "jobset health",
            "trainer",
            "trainer health",
            "status",
        )
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        self._token = secrets.token_hex()
        self.url = f"https://127.0.0.1:{self._ports['api']}"

    def start(self) -> None:
        self._make_certificate()
        self._write("kubeconfig", yaml.safe_dump(self._kubeconfig(self._token)))
        self._start_kubernetes()
        for crds in sorted((BINARIES / "manifests" / "crds").iterdir()):
            self.kubectl("apply", "--server-side", "-f", str(crds))
        self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        self._start_controllers()

    def stop(self) -> None:
        """Ends everything, the controllers before what they talk to."""
        for member in reversed(self._members):
            member.kill()

    def kubectl(self, *arguments: str, given: str = "", check: bool = True) -> str:
        """What kubectl prints, warnings included."""
        run = subprocess.run(
            [KUBECTL, *arguments], input=given, env={**os.environ, **self._environment},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert not check or run.returncode == 0, f"kubectl {' '.join(arguments)}: {run.stdout}"
        return run.stdout

    def get(self, kind: str, namespace: str, *arguments: str) -> list[Object]:
        return json.loads(self.kubectl("get", kind, "-n", namespace, "-o", "json", *arguments))["items"]

    def apply(self, objects: Sequence[Object], *arguments: str) -> str:
        """Applies as `kubectl apply -k` of docs/deploy.md does, but with every unknown field an error."""
        return self.kubectl(
            "apply",
            "--server-side",
            "--validate=strict",
            *arguments,
            "-f",
            "-",
            given=yaml.safe_dump_all(objects),
        )

    def kubeconfig_of(self, account: str, namespace: str) -> str:
        """The path of a kubeconfig with a service account's rights."""
        token = self.kubectl("create", "token", account, "-n", namespace).strip()
        self._write(f"kubeconfig-{account}", yaml.safe_dump(self._kubeconfig(token)))
        return str(self._folder / f"kubeconfig-{account}")

    def account(self, name: str, namespace: str) -> kubernetes.client.Configuration:
        """How a pod with this service account reaches the API."""
        configuration = kubernetes.client.Configuration()
        kubernetes.config.load_kube_config(
            self.kubeconfig_of(name, namespace), client_configuration=configuration
        )
        return configuration

    def workers(self, trainjob: str) -> list[Object]:
        """The pods of a TrainJob, in the workers' order."""
        found = self.get("pods", "kubeflow", "-l", f"{JOBSET_LABEL}={trainjob}")
        return sorted(found, key=lambda pod: pod["metadata"]["name"])

    def tell_running(self, pod: Object) -> None:
        """Says of a worker's pod what its node would say once it runs."""
        self._set_status(pod, "Running", {"running": {"startedAt": STARTED}})

    def tell_ended(self, pod: Object, exit_code: int, message: str = "") -> None:
        """Says of a worker's pod what its node would say of its end."""
        reason, phase = ("Error", "Failed") if exit_code else ("Completed", "Succeeded")
        state = {"exitCode": exit_code, "reason": reason, "message": message, "finishedAt": STARTED}
        self._set_status(pod, phase, {"terminated": state})

    def _set_status(self, pod: Object, phase: str, state: Object) -> None:
        [container] = pod["spec"]["containers"]
        told = {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": phase == "Running",
            "restartCount": 0,
            "state": state,
        }
        self.kubectl(
            "patch", "pod", pod["metadata"]["name"], "-n", pod["metadata"]["namespace"], "--subresource=status",
            "--type=merge", "-p", json.dumps({"status": {"phase": phase, "containerStatuses": [told]}}),
        )  # fmt: skip

    def evict(self, pod: Object) -> None:
        """Asks for a pod's eviction, as draining its node does."""
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
        }
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
        self.kubectl("create", "--raw", path, "-f", "-", given=json.dumps(eviction))

    def _start_kubernetes(self) -> None:
        etcd, peer = (f"http://127.0.0.1:{self._ports[name]}" for name in ("etcd", "peer"))
        certificate, key = str(self._folder / "tls.crt"), str(self._folder / "tls.key")
        self._write("tokens.csv", f'{self._token},admin,admin,"system:masters"\n')
        self._run(
            "etcd", f"--data-dir={self._folder / 'etcd'}", "--unsafe-no-fsync", "--logger=zap",
            f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}", f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
        )  # fmt: skip
        self._run(
            "kube-apiserver", f"--etcd-servers={etcd}", "--bind-address=127.0.0.1",
            f"--secure-port={self._ports['api']}", f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={key}", f"--token-auth-file={self._folder / 'tokens.csv'}",
            "--authorization-mode=RBAC", "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={key}", f"--service-account-key-file={key}",
            "--service-cluster-ip-range=10.96.0.0/16", "--endpoint-reconciler-type=none",
            "--allow-privileged=true",
        )  # fmt: skip
        self._wait(f"{self.url}/readyz")
        self._run(
            "kube-controller-manager", f"--kubeconfig={self._folder / 'kubeconfig'}", "--leader-elect=false",
            f"--service-account-private-key-file={key}", f"--root-ca-file={certificate}",
            "--bind-address=127.0.0.1", f"--secure-port={self._ports['manager']}",
            "--use-service-account-credentials=true", f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={key}",
        )  # fmt: skip
        self._wait(f"https://127.0.0.1:{self._ports['manager']}/healthz")

    def _start_controllers(self) -> None:
        """JobSet and Trainer with their own configuration, but for ports and certificates."""
        common = {
            "metrics": {"bindAddress": "0"},
            "leaderElection": {"leaderElect": False},
        }
        jobset = {
            "apiVersion": "config.jobset.x-k8s.io/v1alpha1", "kind": "Configuration", **common,
            "health": {"healthProbeBindAddress": f"127.0.0.1:{self._ports['jobset health']}"},
            "webhook": {"port": self._ports["jobset"], "host": "127.0.0.1"},
            "internalCertManagement": {"enable": False},
        }  # fmt: skip
        trainer = {
            "apiVersion": "config.trainer.kubeflow.org/v1alpha1", "kind": "Configuration", **common,
            "health": {"healthProbeBindAddress": f"127.0.0.1:{self._ports['trainer health']}"},
            "webhook": {"port": self._ports["trainer"], "host": "127.0.0.1"},
            "certManagement": {"enable": False},
            "statusServer": {"port": self._ports["status"]},
        }  # fmt: skip
        for name, configuration in (("jobset", jobset), ("trainer", trainer)):
            self._write(f"{name}.yaml", yaml.safe_dump(configuration))
            serving = self._folder / name / "k8s-webhook-server" / "serving-certs"
            serving.mkdir(parents=True)
            for file in ("tls.crt", "tls.key"):
                shutil.copy(self._folder / file, serving)
            # The controllers look for their certificate below the folder for temporary files.
            self._run(name, f"--config={self._folder / name}.yaml", TMPDIR=str(self._folder / name))
            self._wait(f"http://127.0.0.1:{self._ports[f'{name} health']}/readyz")
            self.apply(self._webhooks(name))

    def _webhooks(self, name: str) -> list[Object]:
        """The controllers' own webhooks, asked on loopback, as there is no network for services."""
        configurations = list(
            yaml.safe_load_all((BINARIES / "manifests" / f"{name}-webhooks.yaml").read_text())
        )
        authority = subprocess.run(
            ["openssl", "base64", "-A", "-in", self._folder / "tls.crt"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for configuration in configurations:
            configuration["metadata"]["name"] = f"{name}-{configuration['metadata']['name']}"
            for webhook in configuration["webhooks"]:
                path = webhook["clientConfig"]["service"]["path"]
                webhook["clientConfig"] = {
                    "url": f"https://127.0.0.1:{self._ports[name]}{path}",
                    "caBundle": authority,
                }
        return configurations

    def _run(self, program: str, *arguments: str, **environment: str) -> None:
        command = [str(BINARIES / program), *arguments]
        self._members.append(start_member(program, command, self._folder, **self._environment, **environment))

    def _wait(self, url: str) -> None:
        """Until what was started last answers; with the end of its log if it does not."""
        member = self._members[-1]
        context = ssl.create_default_context(cafile=str(self._folder / "tls.crt"))
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self._token}"})
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(
                    request, timeout=5, context=context if url[:5] == "https" else None
                ):
                    return
            except OSError as error:
                if not member.runs or time.monotonic() > until:
                    raise RuntimeError(f"no answer ({error}) from {member.last_lines()}") from None
                time.sleep(0.3)

    def _make_certificate(self) -> None:
        """One for every server, which is its own authority; its key signs service accounts' tokens too."""
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1",
                "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", self._folder / "tls.key",
                "-out", self._folder / "tls.crt",
            ],
            check=True,
            capture_output=True,
        )  # fmt: skip

    def _kubeconfig(self, token: str) -> Object:
        cluster = {"server": self.url, "certificate-authority": str(self._folder / "tls.crt")}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [{"name": "somebody", "user": {"token": token}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "somebody"}}],
            "current-context": "here",
        }

    def _write(self, name: str, content: str) -> None:
        (self._folder / name).write_text(content)
