"""Names and answers of the web: URLs, hosts, addresses, connections, bodies, and politeness."""
