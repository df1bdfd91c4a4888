"""What every stage is made of: its plan, who holds it, its shards, its counts, its run and its end."""
