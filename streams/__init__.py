"""crm-online on Kafka: transport, topics, roles and the command line."""
