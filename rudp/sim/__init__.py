"""Your own asyncio program in a bad network, in virtual time, and again from the same seed.

    import rudp
    import rudp.sim

    async def scenario(network: rudp.sim.Network) -> None:
        server, client = network.host("server"), network.host("client")
        network.link(server, client, rudp.sim.Conditions(delay=0.1, loss=0.05))
        server.start(serve())                    # your own coroutines, unchanged: they call
        answer = await client.run(ask("server")) # rudp.start_server() and rudp.open_connection()
        assert answer == 42

    rudp.sim.run(scenario, seed=7)

A simulation is an asyncio event loop whose clock leaps from timer to timer (`loop`), and in it a
network of hosts (`network`, `hosts`) whose links fail as their `Conditions` say. An hour in it
takes as long as the work that is done in it. Whatever happens follows from the seed: the same
datagrams, at the same moments, with the same losses.

What a simulation cannot hold: threads, processes, file descriptors, asyncio's own TCP, and the
outside world's clock. With tests: the fixture `simulation` (`rudp.sim.pytest_plugin`).

rudp itself is tried in such networks by thousands: `python -m rudp.sim swarm` (`rudp.sim.swarm`).
"""

from rudp.sim.conditions import Conditions, Link
from rudp.sim.hosts import Host
from rudp.sim.loop import SimulationError
from rudp.sim.network import Network
from rudp.sim.simulation import Simulation, run

__all__ = ["Conditions", "Host", "Link", "Network", "Simulation", "SimulationError", "run"]
