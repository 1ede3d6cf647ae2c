"""A counter on three hosts, tried through partitions of a network that is not there.

    python examples/replicated_counter.py [SEEDS]

Each replica counts for itself and tells the others by and by what it has heard of all; who hears
keeps the greater number for each. So they agree once they can talk again, whatever was lost
meanwhile. `Replica` is an ordinary asyncio program over rudp; `scenario` runs three of them in
`rudp.sim`, where minutes take no time and each seed is another bad day, and always the same one.
"""

import asyncio
import contextlib
import json
import sys

import rudp
import rudp.sim

PORT = 4000
NAMES = ("one", "two", "three")


class Replica:
    def __init__(self, name: str) -> None:
        self.name = name
        self.counts = dict.fromkeys(NAMES, 0)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def increment(self) -> None:
        self.counts[self.name] += 1

    async def run(self) -> None:
        async with await rudp.start_server(self.hear, "0.0.0.0", PORT):
            while True:
                await asyncio.sleep(1)
                await asyncio.gather(*(self.tell(name) for name in NAMES if name != self.name))

    async def tell(self, name: str) -> None:
        # Who cannot be reached is told the next time.
        with contextlib.suppress(OSError):
            async with asyncio.timeout(3):
                _, writer = await rudp.open_connection(name, PORT)
                writer.write(json.dumps(self.counts).encode() + b"\n")
                writer.close()
                await writer.wait_closed()

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        for name, count in json.loads(line or b"{}").items():
            self.counts[name] = max(self.counts[name], count)
        writer.close()


async def scenario(network: rudp.sim.Network) -> int:
    replicas = [Replica(name) for name in NAMES]
    one, two, three = (network.host(replica.name) for replica in replicas)
    bad = rudp.sim.Conditions(delay=0.05, jitter=0.02, loss=0.1, loss_burst=4, duplication=0.05)
    for a, b in ((one, two), (two, three), (three, one)):
        network.link(a, b, bad)
    for host, replica in zip((one, two, three), replicas, strict=True):
        host.start(replica.run())

    network.partition([one], [two, three])
    for _ in range(100):
        network.random.choice(replicas).increment()
        await asyncio.sleep(0.1)
    assert len({replica.total for replica in replicas}) > 1, "nobody should know of all yet"

    network.heal()
    await asyncio.sleep(10)
    assert [replica.total for replica in replicas] == [100] * 3
    return network.datagrams


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    for seed in range(seeds):
        simulation = rudp.sim.Simulation(seed)
        datagrams = simulation.run(scenario)
        print(f"seed {seed}: agreed, after {simulation.seconds:.0f} s and {datagrams} datagrams")


if __name__ == "__main__":
    main()
