"""What happens: the only place where store, carriers, webhooks and domain meet."""
