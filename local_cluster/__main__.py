"""`python -m local_cluster <verb>`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from local_cluster import programs
from local_cluster.cluster import Cluster, ControlPlaneOnly
from local_cluster.errors import ClusterError
from local_cluster.report import say


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="python -m local_cluster", description=__doc__)
    verbs = root.add_subparsers(dest="verb", required=True)
    verbs.add_parser("build", help="build the programs that the cache lacks")
    up = verbs.add_parser("up", help="start the cluster and wait until it is ready")
    up.add_argument("--gpus-per-node", type=int, default=1)
    up.add_argument("--audit", action="store_true", help="write the API server's audit log")
    down = verbs.add_parser("down", help="end the cluster, and nothing else")
    down.add_argument("--state", type=Path, help="of a control plane alone")
    verbs.add_parser("status", help="a line for each part")
    verbs.add_parser("kubeconfig", help="print the kubeconfig's path")
    which = verbs.add_parser("program", help="print the path of one of the built programs")
    which.add_argument("name")
    gpus = verbs.add_parser("gpus", help="set the GPUs of a node")
    gpus.add_argument("count", type=int)
    gpus.add_argument("--node", default="node-1")
    alone = verbs.add_parser("control-plane", help="a control plane without nodes")
    alone.add_argument("--state", type=Path, required=True)
    alone.add_argument("--authentication", type=Path, help="an AuthenticationConfiguration")
    image = verbs.add_parser("image", help="build a Dockerfile and push it to the registry")
    image.add_argument("action", choices=["build"])
    image.add_argument("tag")
    image.add_argument("-f", "--file", type=Path, required=True)
    image.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    image.add_argument("context", type=Path)
    return root


def answer(arguments: argparse.Namespace) -> str | None:
    """Do what was asked; the text is what a script wants to read."""
    cluster = Cluster(audit=getattr(arguments, "audit", False))
    match arguments.verb:
        case "build":
            programs.build()
        case "up":
            cluster.up(arguments.gpus_per_node)
            return str(cluster.kubeconfig)
        case "down":
            (ControlPlaneOnly(arguments.state) if arguments.state else cluster).down()
        case "status":
            return cluster.status()
        case "kubeconfig":
            return str(cluster.kubeconfig)
        case "program":
            return str(programs.program(arguments.name))
        case "gpus":
            cluster.set_gpus(arguments.node, arguments.count)
        case "control-plane":
            return str(ControlPlaneOnly(arguments.state, arguments.authentication).up())
        case "image":
            options = dict(option.split("=", 1) for option in arguments.build_arg)
            return cluster.images.build(arguments.tag, arguments.file, arguments.context, options)
    return None


def main() -> int:
    """0, or 2 with one line that says what is missing or failed."""
    try:
        text = answer(parser().parse_args())
    except ClusterError as error:
        say(str(error))
        return 2
    if text is not None:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
