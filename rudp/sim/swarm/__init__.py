"""rudp itself in bad networks, from seeds: `python -m rudp.sim swarm`.

    command     many runs in a few processes, or one of them shown whole; `interrupt` is its Ctrl-C
    scenarios   what a run is drawn from, by name; `draws` are its parts, `sightings` what all of
                them together have to bring about
    pair        two cores over a link that does its worst, and what is demanded of them: `side` is
                one of them with its user, `watch` its wire, `network` the link between them
    streams     whole programs over rudp's streams, in the simulated network of `rudp.sim`
    notation    segments as packetdrill writes them, read from the bytes

A run is in two parts: SAFETY as long as the network is bad, and LIVENESS once it is healed.
"""
