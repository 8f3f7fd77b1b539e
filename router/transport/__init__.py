"""HTTP to upstreams: what a transport promises, and the one on aiohttp."""
