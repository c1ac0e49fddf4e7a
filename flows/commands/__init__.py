"""The verbs of the command line, a file for each kind. Heavy imports wait inside them, so that help is instant."""
