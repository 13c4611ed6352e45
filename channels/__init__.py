"""How what was decided reaches customers: the outbox is read, looked at once more, and handed to adapters."""
