"""The uniform random policy as an agent: the chance level of every benchmark."""
