"""The agent in a guest: takes over its vNIC and forwards by a flow table that the controller programs."""
