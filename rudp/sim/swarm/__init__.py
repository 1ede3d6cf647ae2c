"""rudp itself in a bad network: pairs of its cores whose life is drawn from a seed, and watched."""
