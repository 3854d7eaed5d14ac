"""Commands before a hunt: what there is, what would be done with it, and where."""

from __future__ import annotations

import argparse
from pathlib import Path

from cathode.commands.command import Run


def check(parser: argparse.ArgumentParser) -> Run:
    """`cathode check [CONFIG]`."""
    parser.add_argument("config", nargs="?", default=None, help="YAML file; without one, the default hunt")

    def run(arguments: argparse.Namespace) -> None:
        from cathode.config import load_config
        from cathode.running.check import describe

        print(describe(load_config(arguments.config)))

    return run


def cluster(parser: argparse.ArgumentParser) -> Run:
    """`cathode cluster [PROFILE]`."""
    parser.add_argument(
        "profile", nargs="?", default="profiles/slurm", help="folder with config.yaml and partitions.yaml"
    )
    parser.add_argument("--no-probe", action="store_true", help="submit no test job")

    def run(arguments: argparse.Namespace) -> None:
        from cathode.running.slurm import describe_cluster

        print(describe_cluster(Path(arguments.profile), probe=not arguments.no_probe))

    return run


def jets(parser: argparse.ArgumentParser) -> Run:
    """`cathode jets RAW OUT`."""
    parser.add_argument("raw", help="pandas HDF5 file: pT, eta, phi of every particle, and perhaps a label")
    parser.add_argument("out", help="Parquet file to write; then data.source: files")

    def run(arguments: argparse.Namespace) -> None:
        from cathode.dijets.particles import cluster_file

        print(cluster_file(Path(arguments.raw), Path(arguments.out)))

    return run


def completion(parser: argparse.ArgumentParser) -> Run:
    """`cathode completion SHELL`."""
    import shtab

    parser.add_argument("shell", choices=shtab.SUPPORTED_SHELLS)
    parser.epilog = (
        'bash: eval "$(cathode completion bash)" in ~/.bashrc; zsh: write it to a file _cathode in a folder of $fpath'
    )

    def run(arguments: argparse.Namespace) -> None:
        from cathode.commands.parser import whole_parser

        print(shtab.complete(whole_parser(), arguments.shell))

    return run
