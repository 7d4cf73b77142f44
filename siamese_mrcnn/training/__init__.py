"""What training adds for one-shot models: schedules, naming categories first, one-shot AP."""
