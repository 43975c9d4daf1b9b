"""What the configuration makes of an account: roles, policies, refusals. Pure, tested by tables alone."""
