#!/usr/bin/env python3
"""Reckons what many nodes need, from what nodes.py and bench.py have measured (benches/results). Nothing is measured here.

    capacity.py [--nodes 100] [--images 1e9] [--model mobilenetv2] [--cores 8] [--misses 70] [--payload 100e3]
                [--hits 0.9] [--a-day 100e6]
"""
import argparse
import json
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
HEADROOM = 1.25  # fragmentation, buffers, and what chance gives a node beyond its share
FORK = 1.3       # pages that change while a save or a new replica's copy is written
SLOTS, HEADER, GOSSIP = 16384, 2256, 104  # the cluster bus: bytes of a message, and of each node that it tells of
NODE_TIMEOUT = 15


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nodes", type=int, default=100, help="masters; each has a replica")
    parser.add_argument("--images", type=float, default=1e9)
    parser.add_argument("--model", default="mobilenetv2")
    parser.add_argument("--cores", type=int, default=8, help="of each node, for workers")
    parser.add_argument("--misses", type=float, default=70, help="a second and core, as measured (README)")
    parser.add_argument("--payload", type=float, default=100e3, help="bytes of a photo")
    parser.add_argument("--hits", type=float, default=0.9, help="share of requests that are stored already")
    parser.add_argument("--a-day", type=float, default=100e6, help="requests")
    print("\n".join(reckon(parser.parse_args(), json.loads((RESULTS / "nodes.json").read_text()))))


def reckon(plan, measured):
    result, network = measured["results"][plan.model], measured["network"]
    share = plan.images / plan.nodes
    overhead = network["bytes_a_key"] - measured["results"]["mobilenetv2"]["bytes"]  # the key's place in the table
    model = measured["models"][plan.model]["after"]
    kinds = {"default": result["bytes"] + overhead, "listpack 1024": result["compact"] + overhead}
    yield (f"{plan.nodes} masters, a replica each; {plan.images:,.0f} images, one {plan.model} result each; "
           f"{plan.payload / 1e3:.0f} KB a photo")
    yield ""
    yield f"images a node             {share / 1e6:10.1f} million"
    for name, bytes_a_key in kinds.items():
        data = bytes_a_key * share
        yield f"memory, {name:17} {data / 1e9:10.1f} GB of results ({bytes_a_key:.0f} bytes each)"
        yield f"  a machine               {(data * HEADROOM * FORK + model) / 1e9:10.1f} GB ({HEADROOM} headroom, {FORK} while saving, the model)"
        yield f"  all, replicas too       {2 * plan.nodes * data / 1e12:10.2f} TB of results"
    yield f"RDB of a node             {network['rdb_bytes_a_key'] * share / 1e9:10.1f} GB"
    yield ""
    rate = plan.cores * plan.misses
    yield f"misses a second           {rate * plan.nodes:10,.0f} ({plan.cores} cores x {plan.misses:.0f}, {plan.nodes} nodes)"
    yield f"all images, once          {plan.images / rate / plan.nodes / 3600:10.1f} hours"
    yield f"upload meanwhile          {rate * plan.payload * 8 / 1e9:10.2f} Gbit/s into each node"
    yield f"replication meanwhile     {rate * network['miss_repl'] * 8 / 1e6:10.2f} Mbit/s out of each node"
    yield ""
    requests = plan.a_day / 86400
    misses = requests * (1 - plan.hits)
    yield f"{plan.a_day / 1e6:.0f} million requests a day, {plan.hits:.0%} stored already, asked first:"
    yield f"  requests a second       {requests:10,.0f}, misses {misses:,.0f}: {misses / rate / plan.nodes:.2%} of the cores"
    into = (requests * network["hit_input"] + misses * (plan.payload + network["miss_input"] - network["payload"])) / plan.nodes
    out = (requests * network["hit_output"] + misses * network["miss_output"]) / plan.nodes
    yield f"  network of a node       {into * 8 / 1e6:10.2f} Mbit/s in, {out * 8 / 1e6:.2f} out"
    yield ""
    yield "a node is lost"
    yield f"  its replica takes over  {NODE_TIMEOUT + 1:10.0f} s (cluster-node-timeout {NODE_TIMEOUT} s and about one; by its rules)"
    yield f"  a new replica is filled {share / network['sync_keys_a_second'] / 60:10.1f} minutes ({network['sync_keys_a_second']:,.0f} results a second)"
    yield f"  both copies are lost    {share / rate / 3600:10.1f} hours for its successor alone to compute all of it again,"
    yield f"                          {share / rate / plan.nodes / 60:10.1f} minutes if its slots are spread over all"
    yield ""
    everybody = 2 * plan.nodes
    pings = everybody / (NODE_TIMEOUT / 2)
    message = HEADER + max(3, everybody / 10) * GOSSIP
    yield (f"cluster bus               {2 * pings * message * 8 / 1e6:10.2f} Mbit/s out of each of {everybody} nodes "
           "(by the protocol: each hears from each in half the time-out)")
    spread = (share * (1 - 1 / plan.nodes)) ** 0.5
    yield (f"spread                    {3 * share ** -0.5:10.2%} by chance (3 sigma); {SLOTS // plan.nodes} or "
           f"{-(-SLOTS // plan.nodes)} slots a node are {plan.nodes / SLOTS:.1%} apart")


if __name__ == "__main__":
    main()
