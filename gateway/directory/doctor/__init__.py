"""What ``ldap-gateway doctor`` finds out about a server: step by step, with times and advice."""
