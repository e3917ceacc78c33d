"""The proof: every profile, shut into a network that ends in a counting sink, and every way out that is known of."""
