"""``make demo``: a tour on a real slapd. Every printed value is read from an answer."""
