"""Templates of the cards: what a root and the repositories on the Hub say about themselves."""
